"""Where a simulated exchange takes its market from."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol

from quant_platform.domain.instruments import Instrument
from quant_platform.ports.broker import Candle
from quant_platform.simulator.market_day import MarketDay


class MarketSource(Protocol):
    """A market, one trading day after another."""

    @property
    def name(self) -> str:
        """``demo`` or ``replay``."""
        ...

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Every security, sorted by symbol; a tick's number is its place here."""
        ...

    @property
    def has_depth(self) -> bool:
        """Whether the market has levels at all."""
        ...

    def trading_days(self) -> Sequence[date]:
        """The IST dates that will be handed out, in order; at least one."""
        ...

    def days(self) -> Iterator[MarketDay]:
        """The days in order, each made when it is asked for."""
        ...

    def history(self, number: int, first: date, last: date) -> list[Candle]:
        """One-minute candles of a security, oldest first, both dates included; slow, to be called off the loop."""
        ...

    def intraday(self, day: MarketDay, number: int, stop: int) -> list[Candle]:
        """One-minute candles of a security from the day's rows before ``stop``, oldest first, the running one too."""
        ...
