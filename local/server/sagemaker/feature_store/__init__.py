"""The local Feature Store: groups of features, their newest records, and their history as Parquet in S3."""
