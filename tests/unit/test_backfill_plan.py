"""Which history is missing, and what is asked for it."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.errors import CalendarError, UsageError
from quant_platform.protocol.upstox import limits
from quant_platform.services.data_backfiller.plan import (
    ONE_MINUTE,
    Interval,
    Span,
    plan,
    read_interval,
    span_of,
    trading_days,
)

SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:SBIN", "NSE_EQ:TCS")
TODAY = date(2026, 8, 20)
A_YEAR = trading_days(Span(date(2025, 7, 1), date(2026, 6, 30))).known
INTERVALS = (ONE_MINUTE, Interval("minutes", 30), Interval("hours", 2), Interval("days", 1))


@pytest.mark.parametrize(("text", "interval"), [("1m", ONE_MINUTE), ("300m", ("minutes", 300)), ("1d", ("days", 1))])
def test_an_interval_is_a_number_and_a_letter(text: str, interval: Interval) -> None:
    assert read_interval(text) == interval
    assert read_interval(text).name == text


@pytest.mark.parametrize("text", ["", "m", "0m", "301m", "6h", "2d", "1w", "1 m", "1minute"])
def test_an_interval_that_the_broker_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="choose 1m to 300m, 1h to 5h, or 1d"):
        read_interval(text)


def test_a_span_ends_yesterday_and_is_as_long_as_the_settings_say() -> None:
    yesterday = TODAY - timedelta(days=1)
    assert span_of(ONE_MINUTE, None, None, TODAY, 30) == (TODAY - timedelta(days=30), yesterday)
    assert span_of(ONE_MINUTE, date(2026, 1, 1), None, TODAY, 30) == (date(2026, 1, 1), yesterday)
    assert span_of(ONE_MINUTE, None, date(2026, 3, 2), TODAY, 2) == (date(2026, 3, 1), date(2026, 3, 2))


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (None, TODAY, "2026-08-20 is not history yet: it is 2026-08-20 at the exchange — end with 2026-08-19"),
        (date(2027, 1, 1), None, "2027-01-01 is not history yet"),
        (date(2026, 3, 2), date(2026, 3, 1), "the range from 2026-03-02 to 2026-03-01 is empty"),
        (date(2021, 12, 31), date(2022, 3, 1), "no candles of 1m before 2022-01-01 — begin with 2022-01-01"),
    ],
)
def test_a_span_that_is_no_history_is_refused(first: date | None, last: date | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        span_of(ONE_MINUTE, first, last, TODAY, 30)


def test_a_span_outside_the_calendar_is_refused() -> None:
    with pytest.raises(CalendarError, match="2001-01-01 is not in the exchange calendar"):
        span_of(Interval("days", 1), date(2001, 1, 1), None, TODAY, 30)


def test_days_without_a_session_are_no_trading_days_and_those_of_unknown_hours_are_named() -> None:
    days = trading_days(Span(date(2026, 11, 6), date(2026, 11, 11)))
    assert days.known == (date(2026, 11, 6), date(2026, 11, 9), date(2026, 11, 11))  # the 10th is a holiday
    assert days.unknown == (date(2026, 11, 8),)


def test_a_month_of_one_symbol_is_one_request() -> None:
    days = trading_days(Span(date(2026, 6, 15), date(2026, 7, 10))).known
    batches = plan(ONE_MINUTE, SYMBOLS[:1], days, {})
    assert [batch.span for batch in batches] == [
        (date(2026, 6, 1), date(2026, 6, 30)),
        (date(2026, 7, 1), date(2026, 7, 31)),
    ]
    assert [(request.first, request.last) for batch in batches for request in batch.requests] == [
        (date(2026, 6, 15), date(2026, 6, 30)),
        (date(2026, 7, 1), date(2026, 7, 10)),
    ]


complete_days = st.dictionaries(st.sampled_from(A_YEAR), st.sets(st.sampled_from(SYMBOLS)), max_size=len(A_YEAR))


@given(st.sampled_from(INTERVALS), complete_days)
def test_requests_bring_all_that_is_missing_and_nothing_twice(
    interval: Interval, complete: Mapping[date, set[str]]
) -> None:
    requests = [request for batch in plan(interval, SYMBOLS, A_YEAR, complete) for request in batch.requests]
    brought = [(day, request.symbol) for request in requests for day in request.days]
    wanted = {(day, symbol) for day in A_YEAR for symbol in SYMBOLS if symbol not in complete.get(day, ())}
    assert len(brought) == len(set(brought))
    assert set(brought) == wanted


@given(st.sampled_from(INTERVALS), complete_days)
def test_no_request_asks_for_more_than_the_broker_gives_at_once(
    interval: Interval, complete: Mapping[date, set[str]]
) -> None:
    for batch in plan(interval, SYMBOLS, A_YEAR, complete):
        for request in batch.requests:
            earliest = limits.earliest_from(interval.unit, interval.multiple, request.last)
            assert earliest is not None
            assert earliest <= batch.span.first <= request.first <= request.last <= batch.span.last
            assert (request.first, request.last) == (request.days[0], request.days[-1])
