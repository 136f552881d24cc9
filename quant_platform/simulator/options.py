"""What the simulated exchange is started with."""

from dataclasses import dataclass
from datetime import date, time
from typing import Literal


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """One simulated exchange.

    Attributes:
        host: address to listen on.
        port: 0 for any free one.
        token: that clients must show; None to make one.
        source: demo (a seeded market) or replay (a tick source handed to the server).
        day: IST date; None for the last trading day that the calendar covers (demo) or for every day of the data.
        seed: of the demo's market and of the cuts.
        speed: market seconds per wall second; None is lockstep, where a client moves the clock.
        run_at_once: let the clock run from the start instead of from the first feed connection on.
        start: time of day, IST, at which the first day starts; None for its pre-open.
        seek_ns: ns UTC to start from, which goes before ``start``; what lies before is not sent.
        cut: how many times the feed is cut.
        rate_limit: answer 429 beyond the broker's published limits, counted in market time.
        exit_with_parent: stop when standard input ends.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    source: Literal["demo", "replay"] = "demo"
    day: date | None = None
    seed: int = 1
    speed: float | None = 1.0
    run_at_once: bool = False
    start: time | None = None
    seek_ns: int | None = None
    cut: int = 0
    rate_limit: bool = False
    exit_with_parent: bool = False
