"""Stands in for AWS's ``awsglue`` where that package is not installed: ``awsglue.utils`` and nothing else."""
