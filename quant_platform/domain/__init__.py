"""Frozen values of the domain: money, ticks, orders, instruments, sessions, charges, errors."""
