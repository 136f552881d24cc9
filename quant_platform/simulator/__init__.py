"""An exchange that speaks Upstox's API: REST, the V3 feed, a made-up or a replayed market, faults on demand."""
