"""Wire formats of the outside world, without any I/O: what a client and a simulator of it both need."""
