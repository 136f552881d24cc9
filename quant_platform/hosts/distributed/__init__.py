"""The cores as services over Kafka: one process each, and the host that spawns them all."""
