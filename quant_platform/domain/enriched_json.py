"""Records of ``market.enriched.ticks`` read into columns by a kernel, without an object for every field.

What stands as our own services write it is read here: no spaces, fields in the order of the schema, numbers without an
exponent, a symbol that is known. Whatever else JSON and the schema allow is left to the schema's reader.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.depth_json import DepthColumns, depth_at, no_depth, read_depth
from quant_platform.domain.number_json import BAD, past, real, whole_number
from quant_platform.domain.records import MAX_PRICE, MAX_RECORD_BYTES, NO_DEPTH, FeaturesRecord
from quant_platform.domain.ticks import AGGRESSOR_CODES, unsigned
from quant_platform.kernel import kernel

FEATURES = ("vwap", "rsi", "obi", "sma", "spread")

_KEYS = ('{"symbol":"', '","ts":', ',"seq":', ',"ltp":', ',"volume":', *(f',"{name}":' for name in FEATURES))
_TAIL = (',"aggressor":"', '","flags":', ',"depth":')
_FIELDS = tuple(np.frombuffer(key.encode(), np.uint8) for key in (*_KEYS, *_TAIL))
_SYMBOL, _TS, _SEQ, _LTP, _VOLUME, _VWAP, _RSI, _OBI, _SMA, _SPREAD, _AGGRESSOR, _FLAGS, _DEPTH = _FIELDS
_CODES = np.array([ord(code) for code in AGGRESSOR_CODES], np.uint8)
_QUOTE, _END = ord('"'), ord("}")
_MAX_STAMP, _MAX_FLAGS = 2**62, 255


class EnrichedColumns(NamedTuple):
    """Enriched ticks in the units of records: rupees, NaN where a feature is undefined."""

    ts: NDArray[np.int64]
    symbol: NDArray[np.int32]  # number among the known symbols
    seq: NDArray[np.int64]
    ltp: NDArray[np.float64]
    volume: NDArray[np.int64]
    vwap: NDArray[np.float64]
    rsi: NDArray[np.float64]
    obi: NDArray[np.float64]
    sma: NDArray[np.float64]
    spread: NDArray[np.float64]
    aggressor: NDArray[np.uint8]  # place in ``AGGRESSOR_CODES``
    flags: NDArray[np.uint8]
    depth: DepthColumns

    def select(self, rows: NDArray[np.bool_]) -> "EnrichedColumns":
        """Some of the rows, copied; all of them, as they are."""
        if rows.all():
            return self
        depth = DepthColumns._make(column[rows] for column in self.depth)
        return EnrichedColumns._make([*(column[rows] for column in self[:-1]), depth])


class KnownSymbols:
    """Symbols by number, for the kernel to look up: a table of hashes with the names' bytes beside it.

    Attributes:
        names: symbol of every number.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self.slots = np.full(2, BAD, np.int32)  # a power of two of them
        self.text = np.frombuffer(b"", np.uint8)  # read-only as all later ones: a kernel is compiled for each kind
        self.ends = np.zeros(1, np.int64)  # each behind the one before it, from 0 on

    def add(self, names: Iterable[str]) -> None:
        """Give those symbols a number that have none yet."""
        new = [name for name in dict.fromkeys(names) if name not in self._numbers]
        if not new:
            return
        both = (*self.names, *new)
        spelled = [name.encode() for name in both]
        self.names = both
        self._numbers = {name: number for number, name in enumerate(both)}
        self.text = np.frombuffer(b"".join(spelled), np.uint8)
        self.ends = np.cumsum(np.array([0, *map(len, spelled)], np.int64))
        self.slots = np.full(4 << len(spelled).bit_length(), BAD, np.int32)
        _fill(self.slots, self.text, self.ends)

    def number(self, name: str) -> int:
        """The number of a symbol.

        Raises:
            KeyError: it has none.
        """
        return self._numbers[name]


@kernel
def _hash(text: Any, at: int, end: int) -> int:
    """FNV-1a, 32 bits."""
    value = np.int64(2166136261)
    for i in range(at, end):
        value = ((value ^ np.int64(text[unsigned(i)])) * 16777619) & 0xFFFFFFFF
    return value  # type: ignore[return-value]


@kernel
def _fill(slots: Any, known: Any, ends: Any) -> None:
    for number in range(ends.size - 1):
        slot = _hash(known, ends[number], ends[number + 1]) & (slots.size - 1)
        while slots[slot] != BAD:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = number


@kernel
def _symbol_at(text: Any, at: int, end: int, slots: Any, known: Any, ends: Any) -> tuple[int, int]:
    """The number of the symbol that begins here, and the place of the quote behind it."""
    if at == BAD:
        return 0, BAD
    behind = at
    while behind < end and text[unsigned(behind)] != _QUOTE:
        behind += 1
    slot = _hash(text, at, behind) & (slots.size - 1)
    while slots[slot] != BAD:
        number = slots[slot]
        start = ends[number]
        if ends[number + 1] - start == behind - at:
            i = 0
            while i < behind - at and known[start + i] == text[at + i]:
                i += 1
            if i == behind - at:
                return number, behind
        slot = (slot + 1) & (slots.size - 1)
    return 0, BAD


@kernel
def _code_at(text: Any, at: int, end: int) -> tuple[int, int]:
    """The number of the aggressor's code that stands here, and the place behind it."""
    if at != BAD and at < end:
        for number in range(_CODES.size):
            if text[at] == _CODES[number]:
                return number, at + 1
    return 0, BAD


@kernel
def _read(
    text: Any,
    ends: Any,
    slots: Any,
    known: Any,
    known_ends: Any,
    ts_ns: Any,
    symbol: Any,
    seq: Any,
    ltps: Any,
    volume: Any,
    vwap: Any,
    rsi: Any,
    obi: Any,
    sma: Any,
    spread: Any,
    aggressor: Any,
    all_flags: Any,
    bid_price: Any,
    bid_qty: Any,
    ask_price: Any,
    ask_qty: Any,
    is_read: NDArray[np.bool_],
) -> None:
    """Fill in every row that stands as our services write it, and is in the ranges of the schema, and which do."""
    depth = DepthColumns(bid_price, bid_qty, ask_price, ask_qty)
    start = 0
    for i in range(ends.size):
        end = ends[i]
        at = past(text, start, end, _SYMBOL)
        symbol[i], at = _symbol_at(text, at, end, slots, known, known_ends)
        ts, at = whole_number(text, past(text, at, end, _TS), end)
        seq[i], at = whole_number(text, past(text, at, end, _SEQ), end)
        ltp, at = real(text, past(text, at, end, _LTP), end)
        volume[i], at = whole_number(text, past(text, at, end, _VOLUME), end)
        vwap[i], at = real(text, past(text, at, end, _VWAP), end)
        rsi[i], at = real(text, past(text, at, end, _RSI), end)
        obi[i], at = real(text, past(text, at, end, _OBI), end)
        sma[i], at = real(text, past(text, at, end, _SMA), end)
        spread[i], at = real(text, past(text, at, end, _SPREAD), end)
        aggressor[i], at = _code_at(text, past(text, at, end, _AGGRESSOR), end)
        flags, at = whole_number(text, past(text, at, end, _FLAGS), end)
        is_in_range = 0 < ts < _MAX_STAMP and 0 < ltp < MAX_PRICE and flags <= _MAX_FLAGS
        if at != BAD and is_in_range and end - start <= MAX_RECORD_BYTES:
            ts_ns[i], ltps[i], all_flags[i] = ts, ltp, flags
            if at < end and text[at] != _END:
                at = past(text, at, end, _DEPTH)
                if at != BAD:
                    at = depth_at(text, at, end, depth, i)
            is_read[i] = at == end - 1 and text[at] == _END
        start = end


def read_enriched(values: Sequence[bytes], known: KnownSymbols) -> tuple[EnrichedColumns, NDArray[np.bool_]]:
    """Columns of records, and which of them could be read here: what the columns hold of another is worth nothing."""
    n = len(values)
    whole = [np.zeros(n, kind) for kind in (np.int64, np.int32, np.int64, np.float64, np.int64)]
    features = [np.zeros(n, np.float64) for _ in FEATURES]
    small = [np.zeros(n, np.uint8), np.zeros(n, np.uint8)]
    columns = EnrichedColumns._make([*whole, *features, *small, no_depth(n)])
    text = np.frombuffer(b"".join(values), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, n))
    is_read = np.zeros(n, np.bool_)
    _read(text, ends, known.slots, known.text, known.ends, *columns[:-1], *columns.depth, is_read)
    return columns, is_read


def fill_in(columns: EnrichedColumns, row: int, record: FeaturesRecord, known: KnownSymbols) -> None:
    """Fill a row in with a record that was read in another way; its symbol is known, and its depth plain."""
    features = (math.nan if value is None else value for value in (getattr(record, name) for name in FEATURES))
    number, code = known.number(record.symbol), AGGRESSOR_CODES.index(record.aggressor)
    values = (record.ts, number, record.seq, record.ltp, record.volume, *features, code, record.flags)
    plain_columns: Sequence[Any] = columns[:-1]
    for column, value in zip(plain_columns, values, strict=True):
        column[row] = value
    depth, _ = read_depth([getattr(record, "depth", NO_DEPTH)])
    for levels, read in zip(columns.depth, depth, strict=True):
        levels[row] = read[0]
