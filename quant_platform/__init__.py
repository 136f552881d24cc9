"""Quant Platform: automated intraday trading of NSE equities through Upstox."""
