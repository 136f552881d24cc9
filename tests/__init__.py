"""The tests, from single functions to whole trading days."""
