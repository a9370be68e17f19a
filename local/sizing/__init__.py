"""Whether what a workload runs on is of the right size: what was used of it, read from metrics, and what to try."""
