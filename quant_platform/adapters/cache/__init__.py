"""State caches: this process's memory, and Redis."""
