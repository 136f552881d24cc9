"""Enriched ticks read off their JSON by the kernel are what the schema makes of them, or are left to it."""

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from quant_platform.domain.enriched_json import EnrichedColumns, KnownSymbols, fill_in, read_enriched
from quant_platform.domain.records import Depth, EnrichedRecord, Reader, encode
from quant_platform.domain.ticks import AGGRESSOR_CODES, LEVELS, MAX_LEVEL_QUANTITY

NAMES = [f"NSE_EQ:SYMBOL{number}" for number in range(40)]
CHANGES = [b"", b"0", b"9", b".", b",", b"-", b"e1", b'"', b"}", b" ", b"null", b"N"]

rupees = some.integers(1, 2**31 - 1).map(lambda paise: paise / 100)
features = some.none() | some.floats(-1e6, 1e6) | rupees
counts = some.integers(0, 2**63 - 1)
sides = some.lists(some.tuples(rupees, some.integers(0, 2**31 - 1)), max_size=LEVELS)
records = some.builds(
    EnrichedRecord,
    symbol=some.sampled_from(NAMES),
    ts=some.integers(1, 2**62 - 1),
    seq=counts,
    ltp=rupees,
    volume=counts,
    vwap=features,
    rsi=features,
    obi=features,
    sma=features,
    spread=features,
    aggressor=some.sampled_from(AGGRESSOR_CODES),
    flags=some.integers(0, 255),
    depth=some.none() | some.builds(Depth, sides, sides),
)
read = Reader(EnrichedRecord).read


def known() -> KnownSymbols:
    symbols = KnownSymbols()
    symbols.add(NAMES[:7])
    symbols.add(NAMES)
    return symbols


def row(columns: EnrichedColumns, number: int, symbols: KnownSymbols) -> EnrichedRecord:
    """A row as the record that it was."""
    ts, symbol, seq, ltp, volume, *numbers, aggressor, flags = (column[number].item() for column in columns[:-1])
    values = [None if math.isnan(value) else value for value in numbers]
    bids, asks = (
        [
            (price / 100, quantity)
            for price, quantity in zip(prices[number].tolist(), sizes[number].tolist(), strict=True)
        ]
        for prices, sizes in (columns.depth[:2], columns.depth[2:])
    )
    return EnrichedRecord(
        symbols.names[symbol], ts, seq, ltp, volume, *values, AGGRESSOR_CODES[aggressor], flags, Depth(bids, asks)
    )


def filled_up(record: EnrichedRecord) -> EnrichedRecord:
    """A record with five levels a side in the units of the columns, those that are none as zeros."""
    depth = record.depth or Depth([], [])
    bids, asks = (
        [(round(price * 100) / 100, min(quantity, MAX_LEVEL_QUANTITY)) for price, quantity in side][:LEVELS]
        + [(0.0, 0)] * (LEVELS - len(side))
        for side in (depth.bids, depth.asks)
    )
    return msgspec.structs.replace(record, depth=Depth(bids, asks))


@given(some.lists(records, max_size=5))
def test_what_our_services_write_is_read_to_the_last_bit_or_left_to_the_schema(written: list[EnrichedRecord]) -> None:
    symbols = known()
    columns, is_read = read_enriched([encode(record) for record in written], symbols)
    for number, record in enumerate(written):
        if is_read[number]:
            assert row(columns, number, symbols) == filled_up(record)
        else:
            numbers = [value for value in msgspec.structs.astuple(record) if isinstance(value, float | int)]
            assert any(b"e" in encode(value) or value >= 9 * 10**18 for value in numbers)


@given(records)
def test_a_row_can_be_filled_in_from_a_record(record: EnrichedRecord) -> None:
    symbols = known()
    columns, _ = read_enriched([b"", b"", b""], symbols)
    fill_in(columns, 1, msgspec.structs.replace(record, depth=msgspec.Raw(encode(record.depth))), symbols)
    assert row(columns.select(np.array([False, True, False])), 0, symbols) == filled_up(record)


@given(records, some.data())
def test_what_the_kernel_takes_the_schema_takes_too_and_in_the_same_sense(
    record: EnrichedRecord, data: some.DataObject
) -> None:
    symbols = known()
    text = bytearray(encode(record))
    for _ in range(data.draw(some.integers(0, 3))):
        at = data.draw(some.integers(0, len(text) - 1))
        text[at : at + data.draw(some.integers(0, 1))] = data.draw(some.sampled_from(CHANGES))
    columns, is_read = read_enriched([bytes(text)], symbols)
    if is_read[0]:
        found = read(bytes(text))
        assert isinstance(found, EnrichedRecord), found
        for name in (
            "symbol",
            "ts",
            "seq",
            "ltp",
            "volume",
            "vwap",
            "rsi",
            "obi",
            "sma",
            "spread",
            "aggressor",
            "flags",
        ):
            assert getattr(row(columns, 0, symbols), name) == getattr(found, name)


def test_unknown_symbols_spaces_and_other_orders_are_left_to_the_schema() -> None:
    record = EnrichedRecord("NSE_EQ:SYMBOL1", 5, 1, 100.0, 10, None, None, None, None, None, "N")
    value = encode(record)
    others = [
        value.replace(b"SYMBOL1", b"SYMBOL99"),
        value.replace(b",", b", "),
        encode({name: getattr(record, name) for name in reversed(EnrichedRecord.__struct_fields__)}),
        value.replace(b'"volume":10', b'"volume":-10'),
        value.replace(b'"ltp":100.0', b'"ltp":null'),
        value.replace(b'"flags":0', b'"flags":256'),
        b"",
    ]
    assert read_enriched([value, *others], known())[1].tolist() == [True] + [False] * len(others)
