"""Kafka, PostgreSQL, QuestDB, Redis and an S3 server as plain processes of this machine, without Docker."""
