"""One suite per port, run on the adapter in memory and on the real server."""
