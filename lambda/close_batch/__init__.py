"""Makes batches of the files that have come in."""
