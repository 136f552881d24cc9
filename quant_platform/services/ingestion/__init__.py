"""ingestion: normalise, judge and de-duplicate ticks; what to subscribe; what history warms and repairs."""
