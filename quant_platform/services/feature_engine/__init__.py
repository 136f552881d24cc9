"""feature_engine: ticks in, ticks with VWAP, RSI, OBI, SMA, spread and aggressor out."""
