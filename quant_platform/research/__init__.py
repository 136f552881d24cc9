"""Research over stored data: backtests and their reports."""
