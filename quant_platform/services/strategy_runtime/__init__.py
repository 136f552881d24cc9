"""strategy_runtime: enriched ticks, timers and commands in; orders, fills and the ledger out."""
