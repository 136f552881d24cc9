"""The message bus: in memory, and on Kafka."""
