"""Composition: which adapters stand behind the ports, and the loops that drive the cores."""
