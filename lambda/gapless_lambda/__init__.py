"""What the functions share: settings, clients, logging and S3 addresses. Needs nothing but boto3."""
