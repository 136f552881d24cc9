"""What stands in the state cache: its keys, the schema of every value and how long each lives.

::

    quant:quote:NSE_EQ:RELIANCE     LatestQuote, newest written
    quant:session:NAME              any JSON object: a service's small notes on the session
    quant:subscriptions             symbols the ingestor is subscribed to
    quant:halt:PORTFOLIO            HaltCopy; Postgres has the flag itself
    quant:picks                     LatestPicks of the scanner

Amounts are rupees, as on the topics.
"""

from typing import Any, NamedTuple

import msgspec

from quant_platform.domain.records import Count, Rupees, Stamp, Symbol

_DAY_S = 86_400


class LatestQuote(msgspec.Struct, frozen=True, gc=False):
    """A symbol's last tick, with its features where they are known."""

    symbol: Symbol
    ts: Stamp
    ltp: Rupees
    volume: Count
    bid: Rupees | None = None
    ask: Rupees | None = None
    vwap: float | None = None
    rsi: float | None = None
    obi: float | None = None
    sma: float | None = None


class HaltCopy(msgspec.Struct, frozen=True):
    """Whether a portfolio was halted when this was written, for screens: who trades asks the ledger."""

    halted: bool
    reason: str
    ts: Stamp  # when the ledger was asked


class Pick(msgspec.Struct, frozen=True):
    """One of the scanner's picks."""

    symbol: Symbol
    score: float
    ltp: Rupees
    volume: Count


class LatestPicks(msgspec.Struct, frozen=True):
    """The scanner's last picks, best first."""

    ts: Stamp
    picks: list[Pick]


class Lookup(NamedTuple):
    """One kind of value."""

    name: str
    schema: Any
    lives_s: int

    def key(self, of: str = "") -> str:
        """The key of one value: ``quant:quote:NSE_EQ:RELIANCE``."""
        return f"quant:{self.name}:{of}" if of else f"quant:{self.name}"


QUOTE = Lookup("quote", LatestQuote, 7 * _DAY_S)  # over a weekend with holidays around it
SESSION = Lookup("session", dict[str, Any], _DAY_S)
SUBSCRIPTIONS = Lookup("subscriptions", list[str], _DAY_S)
HALT = Lookup("halt", HaltCopy, 60)  # to be written anew well within this: an old copy is worse than none
PICKS = Lookup("picks", LatestPicks, _DAY_S)
