"""What the Glue jobs share: batches, landing checks, typing, rules, splits, digests and profiles."""
