"""Brokers: the Upstox client and the control line to its simulator."""
