"""Known answers: the trading rules written a second time, and whole runs compared with them."""
