"""What the ingestion core makes of raw ticks: late, duplicate, in or out of session, and their numbers."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.errors import CalendarError, LedgerError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import LATE, OUT_OF_SESSION, TickBatch, cut, empty_ticks, join
from quant_platform.services.ingestion.admit import Admission

INFY, OTHER = 0, 1
"""A stock of the closing auction, and one that is not in it."""
OPENS = ns_at(date(2026, 8, 3), time(9, 15))
DEPTH = ("bid_price", "bid_qty", "ask_price", "ask_qty")


def admission() -> Admission:
    table = SymbolTable()
    table.add("NSE_EQ:INFY", True)
    table.add("NSE_EQ:OTHER", False)
    return Admission(table)


def ticks(*stamps: int, symbol: int = INFY) -> TickBatch:
    """Ticks that differ in their stamps alone."""
    batch = empty_ticks(len(stamps), 5)
    batch.ts[:] = stamps
    batch.symbol[:] = symbol
    batch.ltp[:] = 150_000
    batch.volume[:] = 1000
    batch.atp[:] = 1499.5
    for column in (batch.bid_price, batch.bid_qty, batch.ask_price, batch.ask_qty):
        column[:] = 7
    return batch


def one_by_one(core: Admission, batch: TickBatch) -> TickBatch:
    return join([core.on_ticks(cut(batch, i, i + 1)).ticks for i in range(batch.ts.size)])


@pytest.mark.parametrize(
    ("what", "seconds", "late"),
    [
        ("rising stamps", [1, 2, 3], [False, False, False]),
        ("equal stamps", [1, 1, 1], [False, False, False]),
        ("one behind", [1, 5, 3, 6], [False, False, True, False]),
        ("still behind the highest after a late one", [5, 3, 4, 5], [False, True, True, False]),
    ],
)
def test_a_stamp_below_the_highest_of_its_symbol_is_late(what: str, seconds: list[int], late: list[bool]) -> None:
    batch = ticks(*(OPENS + second for second in seconds))
    batch.volume[:] = range(len(seconds))
    admitted = admission().on_ticks(batch)
    assert (admitted.ticks.flags & LATE).astype(bool).tolist() == late, what
    assert admitted.late == sum(late)


def test_lateness_is_judged_by_symbol() -> None:
    core = admission()
    core.on_ticks(ticks(OPENS + 9))
    assert core.on_ticks(ticks(OPENS + 5, symbol=OTHER)).late == 0


def test_a_late_tick_moves_nothing_its_repetition_is_late_again() -> None:
    core = admission()
    admitted = core.on_ticks(ticks(OPENS + 9, OPENS + 5, OPENS + 5, OPENS + 9))
    assert admitted.ticks.flags.tolist() == [0, LATE, LATE]
    assert (admitted.late, admitted.duplicates) == (2, 1)


@pytest.mark.parametrize("singly", [False, True], ids=["in one batch", "over batches"])
def test_a_tick_equal_in_every_field_is_a_duplicate(singly: bool) -> None:
    batch = ticks(OPENS, OPENS, OPENS)
    batch.seq[:] = (4, 5, 6)  # the one field that may differ
    core = admission()
    if singly:
        assert one_by_one(core, batch).ts.size == 1
    else:
        admitted = core.on_ticks(batch)
        assert (admitted.ticks.ts.size, admitted.duplicates) == (1, 2)


@pytest.mark.parametrize("singly", [False, True], ids=["in one batch", "over batches"])
@pytest.mark.parametrize("field", ["ts", "ltp", "volume", "atp", *(f"{name}/{n}" for name in DEPTH for n in range(5))])
def test_a_tick_that_differs_in_one_field_is_none(field: str, singly: bool) -> None:
    batch = ticks(OPENS, OPENS)
    name, _, level = field.partition("/")
    column = getattr(batch, name)
    column[(1, int(level)) if level else 1] += 1
    core = admission()
    kept = one_by_one(core, batch) if singly else core.on_ticks(batch).ticks
    assert kept.ts.size == 2


def test_equal_to_the_last_but_one_is_no_duplicate() -> None:
    batch = ticks(OPENS, OPENS, OPENS)
    batch.ltp[1] += 5
    assert admission().on_ticks(batch).duplicates == 0


def test_a_duplicate_of_a_tick_out_of_session_is_one_too() -> None:
    before = OPENS - 1
    assert admission().on_ticks(ticks(before, before)).duplicates == 1


def test_a_row_stored_as_late_stays_late_and_moves_nothing() -> None:
    """A recorded day comes back sorted by time, where nothing shows any more what arrived late."""
    batch = ticks(OPENS, OPENS, OPENS + 1, OPENS + 1)
    batch.flags[:] = (0, LATE, LATE, 0)
    admitted = admission().on_ticks(batch)
    assert admitted.ticks.flags.tolist() == [0, LATE, LATE, 0]
    assert (admitted.late, admitted.duplicates) == (2, 0)


SESSIONS = [
    # date, closing auction or not, time, in session
    ("2026-07-31", True, "09:14:59.999999", False),
    ("2026-07-31", True, "09:15:00", True),
    ("2026-07-31", True, "15:15:00", True),
    ("2026-07-31", True, "15:29:59.999999", True),
    ("2026-07-31", True, "15:30:00", False),
    ("2026-07-31", False, "15:29:59.999999", True),
    ("2026-07-31", False, "15:30:00", False),
    ("2026-08-03", True, "09:15:00", True),
    ("2026-08-03", True, "15:14:59.999999", True),
    ("2026-08-03", True, "15:15:00", False),
    ("2026-08-03", True, "15:29:59", False),
    ("2026-08-03", False, "15:15:00", True),
    ("2026-08-03", False, "15:29:59.999999", True),
    ("2026-08-03", False, "15:30:00", False),
    ("2026-08-01", False, "10:00:00", False),  # a Saturday
    ("2026-10-02", False, "10:00:00", False),  # a holiday
    ("2024-05-18", False, "09:14:59", False),  # a Saturday with two windows
    ("2024-05-18", False, "09:15:00", True),
    ("2024-05-18", False, "09:59:59.999999", True),
    ("2024-05-18", True, "10:00:00", False),
    ("2024-05-18", True, "11:29:59", False),
    ("2024-05-18", True, "11:30:00", True),
    ("2024-05-18", False, "12:29:59.999999", True),
    ("2024-05-18", False, "12:30:00", False),
    ("2024-11-01", False, "10:00:00", False),  # Muhurat
    ("2024-11-01", True, "18:00:00", True),
    ("2024-11-01", True, "18:59:59.999999", True),
    ("2024-11-01", True, "19:00:00", False),
    ("2026-02-01", True, "15:29:59", True),  # a Sunday: the Budget
]


@pytest.mark.parametrize(("day", "cas", "at", "expected"), SESSIONS)
def test_in_session_is_open_to_before_close(day: str, cas: bool, at: str, expected: bool) -> None:
    stamp = ns_at(date.fromisoformat(day), time.fromisoformat(at))
    flags = admission().on_ticks(ticks(stamp, symbol=INFY if cas else OTHER)).ticks.flags
    assert (flags[0] & OUT_OF_SESSION == 0) == expected


def test_a_batch_over_several_dates_is_judged_by_each_date() -> None:
    days = [datetime(2026, 7, 31, 15, 20), datetime(2026, 8, 3, 15, 20), datetime(2026, 8, 4, 9, 15)]  # noqa: DTZ001
    batch = ticks(*(ns_at(at.date(), at.time()) for at in days))
    assert admission().on_ticks(batch).ticks.flags.tolist() == [0, OUT_OF_SESSION, 0]


def test_a_date_that_the_calendar_does_not_cover_is_refused() -> None:
    with pytest.raises(CalendarError, match="2031-01-02"):
        admission().on_ticks(ticks(ns_at(date(2031, 1, 2), time(10, 0))))


def test_ticks_are_numbered_by_symbol_and_date() -> None:
    core = admission()
    next_day = OPENS + 86_400 * 10**9
    stamps = [(OPENS - 60, INFY), (OPENS, INFY), (OPENS, OTHER), (OPENS + 5, INFY), (OPENS + 1, INFY), (next_day, INFY)]
    batch = join([ticks(ts, symbol=symbol) for ts, symbol in stamps])
    assert core.on_ticks(batch).ticks.seq.tolist() == [1, 2, 1, 3, 4, 1]
    assert core.next_seq(INFY, next_day) == 2
    assert core.next_seq(OTHER, OPENS) == 2
    assert core.next_seq(OTHER, next_day) == 1


def test_stored_numbers_are_kept_and_counted_on_from() -> None:
    batch = ticks(OPENS, OPENS + 1, OPENS + 2)
    batch.seq[:] = (0, 17, 0)
    assert admission().on_ticks(batch).ticks.seq.tolist() == [1, 17, 18]


def test_duplicates_get_no_number() -> None:
    assert admission().on_ticks(ticks(OPENS, OPENS, OPENS + 1)).ticks.seq.tolist() == [1, 2]


def test_an_unreadable_state_is_refused() -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        admission().restore(b"\xff")


moments = st.sampled_from(
    [OPENS - 1, OPENS, OPENS + 1, OPENS + 2, OPENS + int(timedelta(days=1).total_seconds()) * 10**9]
)
rows = st.tuples(moments, st.sampled_from([INFY, OTHER]), st.integers(1, 2), st.integers(0, 1), st.booleans())


def batch_of(drawn: Sequence[tuple[int, int, int, int, bool]]) -> TickBatch:
    batch = empty_ticks(len(drawn), 5)
    for i, (ts, symbol, ltp, quantity, late) in enumerate(drawn):
        batch.ts[i], batch.symbol[i], batch.ltp[i] = ts, symbol, ltp
        batch.ask_qty[i, 4] = quantity
        batch.flags[i] = LATE if late else 0
    return batch


@given(drawn=st.lists(rows, min_size=1, max_size=30), cuts=st.sets(st.integers(1, 29)), restart=st.integers(0, 30))
def test_any_cut_and_a_restart_give_the_same_ticks(
    drawn: list[tuple[int, int, int, int, bool]], cuts: set[int], restart: int
) -> None:
    whole = admission().on_ticks(batch_of(drawn))
    edges = [0, *sorted(place for place in cuts if place < len(drawn)), len(drawn)]
    core, found, counts = admission(), [], np.zeros(2, np.int64)
    batch = batch_of(drawn)
    for place, (start, stop) in enumerate(pairwise(edges)):
        if place == restart:
            state = core.snapshot()
            core = admission()
            core.restore(state)
        admitted = core.on_ticks(cut(batch, start, stop))
        found.append(admitted.ticks)
        counts += (admitted.late, admitted.duplicates)
    for column, expected in zip(join(found), whole.ticks, strict=True):
        np.testing.assert_array_equal(column, expected)
    assert counts.tolist() == [whole.late, whole.duplicates]
