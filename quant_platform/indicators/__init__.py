"""Indicators, one file each: the state of one symbol as a record, and the kernels that move it."""
