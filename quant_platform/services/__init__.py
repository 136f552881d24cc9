"""Pure cores, one folder per service of the platform."""
