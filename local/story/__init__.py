"""What continuous training would have earned on a workload's own history."""
