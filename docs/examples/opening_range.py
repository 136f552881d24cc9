"""Buy the breakout above the session's first minutes: a strategy with a memory of its own, asked tick by tick."""

import json
from dataclasses import dataclass

from quant_platform.domain.ticks import IST_OFFSET_NS, NS_PER_DAY, NS_PER_MINUTE, trading_day
from quant_platform.services.strategy_runtime.strategy import Context, Decision, FeatureRow

OPEN_MINUTE = 9 * 60 + 15
"""The open, in minutes after midnight IST."""


class OpeningRange:
    """Note each symbol's high and low of the first minutes; buy once a day above, sell below the low."""

    name = "opening-range"

    @dataclass(frozen=True, slots=True)
    class Parameters:
        """What ``--set`` can change."""

        range_minutes: int = 15
        target_bps: float = 100.0  # above the average price paid

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._day = 0
        self._ranges: dict[int, list[float]] = {}  # symbol → [low, high], rupees
        self._bought: set[int] = set()

    def on_tick(self, tick: FeatureRow, context: Context) -> Decision | None:
        """A wish, or None."""
        self._turn_day(tick.ts)
        if self._minute(tick.ts) < OPEN_MINUTE + self.parameters.range_minutes:
            low, high = self._ranges.get(tick.symbol, [tick.ltp, tick.ltp])
            self._ranges[tick.symbol] = [min(low, tick.ltp), max(high, tick.ltp)]
            return None
        if tick.symbol not in self._ranges or context.pending:
            return None
        low, high = self._ranges[tick.symbol]
        if context.quantity:
            return self._leave(tick, context, low)
        if tick.ltp > high and tick.symbol not in self._bought:
            self._bought.add(tick.symbol)
            return Decision(True, f"price {tick.ltp:.2f} above the opening range {low:.2f} to {high:.2f}")
        return None

    def _leave(self, tick: FeatureRow, context: Context, low: float) -> Decision | None:
        if tick.ltp < low:
            return Decision(False, "below the opening range")
        if tick.ltp > context.average_price * (1 + self.parameters.target_bps / 10_000):
            return Decision(False, "target reached")
        return None

    def _turn_day(self, ts: int) -> None:
        if trading_day(ts) != self._day:
            self._day = trading_day(ts)
            self._ranges.clear()
            self._bought.clear()

    def _minute(self, ts: int) -> int:
        """Minutes after midnight IST."""
        return (ts + IST_OFFSET_NS) % NS_PER_DAY // NS_PER_MINUTE

    def snapshot(self) -> bytes:
        """Everything it remembers; stored with the ledger, so that a run that was stopped goes on unchanged."""
        ranges = [[symbol, *bounds] for symbol, bounds in self._ranges.items()]
        return json.dumps([self._day, ranges, sorted(self._bought)]).encode()

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot."""
        self._day, ranges, bought = json.loads(state)
        self._ranges = {symbol: [low, high] for symbol, low, high in ranges}
        self._bought = set(bought)
