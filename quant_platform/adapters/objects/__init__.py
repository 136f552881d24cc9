"""Object stores: a folder or an S3 bucket, by one library."""
