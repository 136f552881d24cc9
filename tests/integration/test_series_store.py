"""The contract of the series store, on the one in memory and on a real QuestDB."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from quant_platform.adapters.ticks.memory import MemorySeries
from quant_platform.adapters.ticks.series_rows import rows_of
from quant_platform.domain.errors import DataError
from quant_platform.ports.series_store import (
    CANDLES_1M,
    OPTION_GREEKS,
    SERVICE_METRICS,
    TABLES,
    TICKS,
    Place,
    SeriesReader,
    SeriesWriter,
    Table,
    place_after,
)
from tests.series import MORNING, emptied, places, plain, reader_of, ticks, writer_of

WITHIN_S = 30.0
SYMBOL = "NSE_EQ:RELIANCE"
END = MORNING + 10**15


class Store(NamedTuple):
    writer: SeriesWriter
    reader: SeriesReader

    def write(self, table: Table[Any], *parts: Any) -> None:
        for rows in parts:
            self.writer.append(table, rows)
        self.writer.flush()
        self.reader.wait_until_visible(WITHIN_S)


@pytest.fixture(params=["memory", "questdb"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        both = MemorySeries()
        yield Store(both, both)
        return
    settings = emptied(request.getfixturevalue("questdb"))
    store = Store(writer_of(settings), reader_of(settings))
    store.writer.prepare()
    yield store
    store.writer.close()
    store.reader.close()


ROWS: list[tuple[Table[Any], list[tuple[Any, ...]]]] = [
    (
        TICKS,
        [
            (MORNING, SYMBOL, 1, 2890.05, 1200, 2889.957, 61.803, -0.5, 2888.1, 0.05, "B", 0),
            (MORNING + 1, SYMBOL, 2, 0.05, 2**63 - 1, None, None, None, None, None, "N", 255),
            (2**62 - 1, SYMBOL, 2**63 - 1, 21_474_836.47, 0, 1e300, 100.0, 1.0, -1e-300, 0.0, "S", 7),
        ],
    ),
    (
        OPTION_GREEKS,
        [
            (MORNING, SYMBOL, 12.35, 0.21, 0.5123, 0.0013, -7.5, 11.2, 0.4, 1_250_000.0),
            (MORNING + 1, SYMBOL, 12.4, None, None, None, None, None, None, None),
        ],
    ),
    (CANDLES_1M, [(MORNING, SYMBOL, 100.0, 101.5, 99.95, 101.0, 4200)]),
    (
        SERVICE_METRICS,
        [
            (MORNING, SYMBOL, "1", "quant_bus_lag_records", 'topic="market.equity.ticks"', 12.0),
            (MORNING, SYMBOL, "1", "quant_service_ready", "", 1.0),
        ],
    ),
]


def test_every_table_has_rows_here() -> None:
    assert tuple(table for table, _ in ROWS) == TABLES


@pytest.mark.parametrize(("table", "rows"), ROWS, ids=[table.name for table, _ in ROWS])
def test_rows_come_back_to_the_nanosecond_and_the_last_bit(
    store: Store, table: Table[Any], rows: list[tuple[Any, ...]]
) -> None:
    store.write(table, rows_of(table, rows))
    assert plain(table, store.reader.newest(table, SYMBOL, 10)) == rows


def test_rows_are_seen_after_the_flush(store: Store) -> None:
    store.writer.append(TICKS, ticks(SYMBOL, (0, 1)))
    assert store.reader.newest(TICKS, SYMBOL, 10).timestamp.size == 0
    store.writer.flush()
    store.reader.wait_until_visible(WITHIN_S)
    assert places(store.reader.newest(TICKS, SYMBOL, 10)) == [(0, 1)]


def test_closing_forgets_what_was_not_flushed(store: Store) -> None:
    store.writer.append(TICKS, ticks(SYMBOL, (0, 1)))
    store.writer.close()
    store.reader.wait_until_visible(WITHIN_S)
    assert store.reader.newest(TICKS, SYMBOL, 10).timestamp.size == 0


def test_the_same_row_again_has_no_effect(store: Store) -> None:
    for _ in range(2):
        store.write(TICKS, ticks(SYMBOL, (0, 1), (0, 2), (1, 3)), ticks(SYMBOL, (0, 2)))
    assert places(store.reader.newest(TICKS, SYMBOL, 10)) == [(0, 1), (0, 2), (1, 3)]


def test_a_later_row_takes_the_place_of_the_one_with_its_key(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1), (1, 2), ltp=100.0), ticks(SYMBOL, (0, 1), ltp=101.0))
    store.write(TICKS, ticks(SYMBOL, (1, 2), ltp=102.0))
    assert store.reader.newest(TICKS, SYMBOL, 10).ltp.tolist() == [101.0, 102.0]


def test_stamps_a_nanosecond_apart_are_two_rows(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1), (1, 1)))
    assert places(store.reader.newest(TICKS, SYMBOL, 10)) == [(0, 1), (1, 1)]


def test_rows_may_come_in_any_order(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (9, 4), (0, 1)), ticks("NSE_EQ:TCS", (5, 1)))
    store.write(TICKS, ticks(SYMBOL, (3, 3), (3, 2)))
    assert places(store.reader.newest(TICKS, SYMBOL, 10)) == [(0, 1), (3, 2), (3, 3), (9, 4)]
    assert places(store.reader.newest(TICKS, "NSE_EQ:TCS", 10)) == [(5, 1)]


def test_the_newest_rows_are_cut_to_the_limit(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1), (3, 2), (3, 3), (3, 4)))
    assert places(store.reader.newest(TICKS, SYMBOL, 2)) == [(3, 3), (3, 4)]


def test_a_symbol_that_never_came_has_no_rows(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1)))
    assert store.reader.newest(TICKS, "NSE_EQ:RELIANCE'; DROP TABLE ticks", 10).timestamp.size == 0
    assert store.reader.between(TICKS, "NSE_EQ:R", Place(1), END, 10).timestamp.size == 0


def test_a_range_begins_at_its_place_and_ends_before_its_end(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1), (3, 2), (3, 3), (9, 4)))
    found = store.reader.between(TICKS, SYMBOL, Place(MORNING + 3, 3), MORNING + 9, 10)
    assert places(found) == [(3, 3)]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_give_every_row_once_in_order(store: Store, size: int) -> None:
    wanted = [(ts, seq) for ts in (0, 0, 4, 4, 4, 4, 9) for seq in (1, 2)]
    store.write(TICKS, ticks(SYMBOL, *wanted))
    start, found = Place(1), []
    while (page := store.reader.between(TICKS, SYMBOL, start, END, size)).timestamp.size:
        assert page.timestamp.size <= size
        found += places(page)
        start = place_after(page)
    assert found == sorted(set(wanted))


def test_pages_of_candles_go_on_at_the_next_minute(store: Store) -> None:
    minutes = [MORNING + n * 60 * 10**9 for n in range(3)]
    store.write(CANDLES_1M, rows_of(CANDLES_1M, [(ts, SYMBOL, 1.0, 2.0, 0.5, 1.5, 10) for ts in minutes]))
    page = store.reader.between(CANDLES_1M, SYMBOL, Place(1), END, 2)
    rest = store.reader.between(CANDLES_1M, SYMBOL, place_after(page), END, 2)
    assert page.timestamp.tolist() + rest.timestamp.tolist() == minutes


@pytest.mark.parametrize("seed", range(5))
def test_any_writes_leave_the_last_row_of_each_key(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    wanted: dict[str, dict[tuple[int, int], float]] = {}
    for _ in range(6):
        parts = []
        for _ in range(chance.randrange(1, 4)):
            symbol = chance.choice(["NSE_EQ:A", "NSE_EQ:B", "BSE_EQ:A"])
            at = [(chance.randrange(4), chance.randrange(3)) for _ in range(chance.randrange(20))]
            ltp = chance.randrange(1, 10**6) / 100
            parts.append(ticks(symbol, *at, ltp=ltp))
            wanted.setdefault(symbol, {}).update(dict.fromkeys(at, ltp))
        store.write(TICKS, *parts)
    for symbol, rows in wanted.items():
        found = store.reader.between(TICKS, symbol, Place(1), END, 1000)
        assert list(zip(places(found), found.ltp.tolist(), strict=True)) == sorted(rows.items())


def test_rows_without_a_stamp_are_refused(store: Store) -> None:
    with pytest.raises(DataError, match="a row for ticks has no stamp"):
        store.writer.append(TICKS, ticks(SYMBOL, (0, 1), (-MORNING, 2)))


def test_columns_of_unequal_length_are_refused(store: Store) -> None:
    with pytest.raises(DataError, match="columns of rows for ticks differ in length"):
        store.writer.append(TICKS, ticks(SYMBOL, (0, 1))._replace(seq=np.array([1, 2])))


def test_after_a_flush_nothing_is_left_to_wait_for(store: Store) -> None:
    store.write(TICKS, ticks(SYMBOL, (0, 1)))
    assert {backlog.table for backlog in store.reader.backlog()} == {table.name for table in TABLES}
    assert all(backlog.commits == 0 and not backlog.fault for backlog in store.reader.backlog())
