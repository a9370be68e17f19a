"""The published datasets of a workload: which there are, what is in them, who uses them, and making one again."""
