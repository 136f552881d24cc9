"""Depth read off its JSON by the kernel is what the schema makes of it, however it is written."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from quant_platform.domain.depth_json import DepthColumns, plain, read_depth
from quant_platform.domain.records import MAX_PRICE, NO_DEPTH, Depth, Reader, Unreadable, encode
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY

prices = some.one_of(
    some.integers(0, 2**31 - 1).map(lambda paise: paise / 100),
    some.floats(0, MAX_PRICE, exclude_max=True),
)
sides = some.lists(some.tuples(prices, some.integers(0, 2**63 - 1)), max_size=7)
depths = some.builds(Depth, sides, sides)
read = Reader(Depth | None).read


def by_schema(depth: Depth | None) -> list[list[list[int]]]:
    """Paise and quantities of bids and asks, five of each."""
    columns: list[list[list[int]]] = []
    for side in ([], []) if depth is None else (depth.bids, depth.asks):
        levels = (list(side) + [(0.0, 0)] * LEVELS)[:LEVELS]
        columns.append([[min(round(price * 100), 2**31 - 1) for price, _ in levels]])
        columns.append([[min(quantity, MAX_LEVEL_QUANTITY) for _, quantity in levels]])
    return columns


def as_lists(columns: DepthColumns) -> list[list[list[int]]]:
    return [column.tolist() for column in columns]


@given(depths)
def test_whatever_the_schema_takes_can_be_made_plain_and_means_the_same(depth: Depth) -> None:
    columns, is_plain = read_depth([plain(depth)])
    assert is_plain.tolist() == [True]
    assert as_lists(columns) == by_schema(depth)


@given(some.lists(some.tuples(some.integers(1, 2**31 - 1), some.integers(0, 10**15)), max_size=LEVELS))
def test_what_our_services_write_is_plain_as_it_is(side: list[tuple[int, int]]) -> None:
    levels: list[Any] = [(paise / 100, quantity) for paise, quantity in side]
    value = encode(Depth(levels, levels[:2]))
    assert read_depth([msgspec.Raw(value)])[1].tolist() == [True]


@given(some.lists(some.none() | depths, max_size=4))
def test_rows_are_kept_apart(several: list[Depth | None]) -> None:
    columns, _ = read_depth([plain(depth) for depth in several])
    for row, depth in enumerate(several):
        assert [column[row : row + 1].tolist() for column in columns] == by_schema(depth)


CHANGES = [b"", b"0", b"9", b".", b",", b"-", b"e1", b"[", b"]", b"}", b" ", b"null"]


@given(depths, some.data())
def test_what_the_kernel_takes_the_schema_takes_too_and_in_the_same_sense(depth: Depth, data: some.DataObject) -> None:
    """Texts that are a little wrong, or right in another way."""
    text = bytearray(encode(depth))
    for _ in range(data.draw(some.integers(0, 3))):
        at = data.draw(some.integers(0, len(text) - 1))
        change = data.draw(
            some.sampled_from([b"", b"0", b"9", b".", b",", b"-", b"e1", b"[", b"]", b"}", b" ", b"null"])
        )
        text[at : at + data.draw(some.integers(0, 1))] = change
    columns, is_plain = read_depth([msgspec.Raw(bytes(text))])
    if is_plain[0]:
        found = read(bytes(text))
        assert not isinstance(found, Unreadable)
        assert as_lists(columns) == by_schema(found)


def test_spaces_other_orders_and_exponents_are_left_to_the_schema() -> None:
    texts = [
        json.dumps({"bids": [], "asks": []}),
        '{"asks":[],"bids":[]}',
        '{"bids":[[1e2,1]],"asks":[]}',
        '{"bids":[],"asks":[],"new":1}',
        '{"bids":[[1.5,1][1.4,1]],"asks":[]}',
        "",
    ]
    assert not read_depth([msgspec.Raw(text.encode()) for text in texts])[1].any()
    assert read_depth([msgspec.Raw(b'{"bids":[],"asks":[]}'), NO_DEPTH])[1].all()
