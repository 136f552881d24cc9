"""What the platform asks of a broker's market data, one small Protocol a purpose."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple, Protocol

from quant_platform.domain.instruments import Instrument


class Quote(NamedTuple):
    """One security as the quotes endpoint shows it now."""

    symbol: str  # NSE_EQ:RELIANCE
    ltp: int  # paise
    previous_close: int  # paise; 0 where the broker gave none
    volume: int  # shares today


class Candle(NamedTuple):
    """One closed or running bar of history."""

    ts: int  # ns UTC, the bar's start
    open: int  # paise
    high: int  # paise
    low: int  # paise
    close: int  # paise
    volume: int  # shares


class QuoteSource(Protocol):
    """Current quotes."""

    async def quotes(self, instruments: Sequence[Instrument]) -> list[Quote]:
        """Quotes of all that the broker knows; unknown ones are left out.

        Raises:
            BrokerError: the broker refused the request as a whole.
            UnavailableError: the broker cannot be reached.
        """
        ...


class HistorySource(Protocol):
    """One-minute candles, oldest first."""

    async def history(self, instrument: Instrument, first: date, last: date) -> list[Candle]:
        """Candles of past days, both dates included, today left out."""
        ...

    async def intraday(self, instrument: Instrument) -> list[Candle]:
        """Candles of the current day so far."""
        ...


class InstrumentSource(Protocol):
    """The exchange's list of securities."""

    async def instruments(self) -> list[Instrument]:
        """All NSE equities of the daily file."""
        ...


class FeedHandler(Protocol):
    """Who listens to a market feed. Calls come one at a time, in order."""

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """One binary frame. ``received_ns`` is of ``time.perf_counter_ns``: for latency only."""
        ...

    async def on_connected(self, lost_since_ns: int | None) -> None:
        """The feed is up. Frames that arrive meanwhile wait until this returns.

        Args:
            lost_since_ns: market time of the last frame before the connection was lost; None at the first connect.
        """
        ...

    def on_disconnected(self, reason: str) -> None:
        """The feed is down and will be connected anew."""
        ...


class MarketFeed(Protocol):
    """A stream of market data frames that keeps itself alive."""

    async def subscribe(self, keys: Iterable[str]) -> None:
        """Add instrument keys; kept, and subscribed again on every reconnect."""
        ...

    async def run(self) -> None:
        """Connect, receive, watch and reconnect until cancelled."""
        ...


__all__ = [
    "Candle",
    "FeedHandler",
    "HistorySource",
    "InstrumentSource",
    "MarketFeed",
    "Quote",
    "QuoteSource",
]
