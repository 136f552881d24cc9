"""Read models → what the HTTP API answers."""
