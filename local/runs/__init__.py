"""The training runs of a workload: which there were, what they were made of, in what two differ, and a replay."""
