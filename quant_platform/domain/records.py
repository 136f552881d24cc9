"""What travels on the topics: the schema of every record, checked as it is read."""

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

MAX_PRICE = 21_474_836.48
"""Rupees; a price below it fits 32 bits as paise."""
Rupees = Annotated[float, Meta(gt=0, lt=MAX_PRICE)]
"""A price; read as round(x × 100) paise."""
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Stamp = Annotated[int, Meta(gt=0, lt=2**62)]
"""Ns since the epoch, UTC, below the year 2116: a wild one must not reach the end of any server's time."""
Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Level = tuple[Annotated[float, Meta(ge=0, lt=MAX_PRICE)], Count]
"""Price in rupees and quantity; a price or quantity of 0 is no level."""

TICK = "tick"
BAR = "bar"
CLOCK = "clock"
"""What the header ``kind`` may say."""

MAX_RECORD_BYTES = 1_000_000
"""A larger record is set aside: no record of ours comes near."""


class Depth(msgspec.Struct, gc=False):
    """Best levels first, at most five a side count."""

    bids: list[Level]
    asks: list[Level]


NO_DEPTH = msgspec.Raw(b"null")


class TickFields(msgspec.Struct, gc=False):
    """``market.equity.ticks`` without the depth."""

    symbol: Symbol
    ts: Stamp
    seq: Count  # counts the symbol's ticks in a session, from 1
    ltp: Rupees
    volume: Count
    atp: Annotated[float, Meta(ge=0)] | None  # rupees; null where the exchange gave none
    flags: Annotated[int, Meta(ge=0, le=255)] = 0


class TickRecord(TickFields, gc=False):
    """``market.equity.ticks``: one tick that passed ingestion."""

    depth: Depth | None = None  # null: no level came with this tick


class TickAsRead(TickFields, gc=False):
    """A :class:`TickRecord` off the bus, its depth in JSON: ``domain/depth_json.py`` makes columns of it."""

    depth: msgspec.Raw = NO_DEPTH


class FeaturesRecord(msgspec.Struct, gc=False):
    """``market.enriched.ticks`` for who needs no depth: it is passed over, at half the cost of the whole."""

    symbol: Symbol
    ts: Stamp
    seq: Count
    ltp: Rupees
    volume: Count
    vwap: float | None
    rsi: float | None
    obi: float | None
    sma: float | None
    spread: float | None
    aggressor: Literal["N", "B", "S"]
    flags: Annotated[int, Meta(ge=0, le=255)] = 0


class EnrichedRecord(FeaturesRecord, gc=False):
    """``market.enriched.ticks``: a tick with its features (null where undefined), and the depth it brought."""

    depth: Depth | None = None


class EnrichedAsRead(FeaturesRecord, gc=False):
    """An :class:`EnrichedRecord` off the bus, or on its way there, its depth in JSON."""

    depth: msgspec.Raw = NO_DEPTH


class ClockRecord(msgspec.Struct, gc=False):
    """Time where no tick carries it: what follows in the partition belongs after ``ts``."""

    ts: Stamp
    duplicates: Count = 0  # dropped by ingestion in this market so far
    implausible: Count = 0  # set aside by ingestion likewise
    last: bool = False  # the market is over: nothing follows
    receipts: tuple[tuple[Stamp, Count], ...] = ()
    """Stamps of the ticks since the clock before, and when the first tick of each came in, ns UTC of our own clock."""


class BarRow(NamedTuple):
    """One closed one-minute bar."""

    ts: Stamp  # its start
    open: Rupees
    high: Rupees
    low: Rupees
    close: Rupees
    volume: Count


class BarsRecord(msgspec.Struct):
    """Warm-up or repair of a symbol, in one record so that nothing comes between its bars."""

    symbol: Symbol
    ts: Stamp  # market time at which they enter the stream
    what: Literal["warm-up", "repair"]
    before_seq: Count  # seq of the symbol's first tick after them
    bars: list[BarRow]


class GreeksRecord(msgspec.Struct, gc=False):
    """``market.option.greeks``: an option's sensitivities as the broker computes them."""

    symbol: Symbol
    ts: Stamp
    ltp: Rupees
    iv: float | None
    delta: float | None
    gamma: float | None
    theta: float | None
    vega: float | None
    rho: float | None
    oi: Annotated[float, Meta(ge=0)] | None


class OrderEvent(msgspec.Struct):
    """``orders.events``: a step in an order's life."""

    what: Literal["intended", "refused", "accepted", "filled", "cancelled", "refused_at_fill"]
    portfolio: str
    run_id: str
    order_id: str | None  # null until an intent is accepted
    ts: Stamp
    symbol: Symbol
    transaction_type: Literal["BUY", "SELL"] | None
    quantity: Count | None
    price: float | None  # rupees: decided on, or a fill's average
    reason: str
    tick: str  # correlation id of the tick that brought it about


def tick_id(symbol: str, ts: int) -> str:
    """The correlation id that follows a tick through logs, events and orders."""
    return f"{symbol}@{ts}"


T = TypeVar("T")


class Unreadable(NamedTuple):
    """A record that has to be set aside, and why."""

    reason: str


class Reader:
    """Reads values of one schema, or says why one cannot be read.

    Args:
        schema: a struct of this module, or a list type.
    """

    def __init__(self, schema: Any) -> None:
        self._decode = msgspec.json.Decoder(schema).decode

    def read(self, value: bytes) -> Any:
        """The record, or :class:`Unreadable`: a field is missing, ill-typed or out of its range."""
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unreadable(str(error)[:300])


encode = msgspec.json.Encoder().encode
"""Any record as JSON; NaN becomes null."""
