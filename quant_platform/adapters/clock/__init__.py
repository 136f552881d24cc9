"""Clocks: the wall's, a simulated market's, and one that a simulator is driven by."""
