"""What stands in the state cache: its keys, the schema of every value and how long each lives.

::

    quant:quote:NSE_EQ:RELIANCE     EnrichedRecord: the symbol's newest tick, as on market.enriched.ticks
    quant:session:PORTFOLIO         SessionState
    quant:halt:PORTFOLIO            HaltCopy; the ledger has the flag itself
    quant:subscriptions             the symbols that the ingestor is subscribed to
"""

from typing import Any, NamedTuple

import msgspec

from quant_platform.domain.records import Count, EnrichedRecord, Stamp

_DAY_S = 86_400


class SessionState(msgspec.Struct, frozen=True):
    """How a portfolio stood at its runtime's last commit. Amounts are rupees."""

    run_id: str
    ts: Stamp  # market time that the commit covers
    balance: float
    equity: float
    open_positions: Count


class HaltCopy(msgspec.Struct, frozen=True):
    """Whether a portfolio was halted at its runtime's last commit, for screens: who trades asks the ledger."""

    halted: bool
    reason: str
    ts: Stamp  # market time that the commit covers


class Lookup(NamedTuple):
    """One kind of value."""

    name: str
    schema: Any
    lives_s: int

    def key(self, of: str = "") -> str:
        """The key of one value: ``quant:quote:NSE_EQ:RELIANCE``."""
        return f"quant:{self.name}:{of}" if of else f"quant:{self.name}"


QUOTE = Lookup("quote", EnrichedRecord, 7 * _DAY_S)  # over a weekend with holidays around it
SESSION = Lookup("session", SessionState, _DAY_S)
HALT = Lookup("halt", HaltCopy, 60)  # put anew with every commit: an old copy is worse than none
SUBSCRIPTIONS = Lookup("subscriptions", list[str], _DAY_S)
