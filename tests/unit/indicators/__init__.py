"""One suite that every indicator inherits, and one file an indicator."""
