"""What benchmarks say of a figure: reached or not, whether its ratio counts, and its row in the document."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.__main__ import BEGIN, END, HEAD, in_short, row, with_rows
from benchmarks.figure import Figure, Goal, Limit
from benchmarks.made_up import FIRST_DAY, make_day
from quant_platform.domain.ticks import TickBatch

FIGURE = Figure("speed", 30.0, "M ticks per CPU-s", Goal(0.6, 0.9, "ratio"), Limit("the loop", 40.0, counts_from=35.0))


@pytest.mark.parametrize(
    ("value", "reached"), [(40.0, "aim"), (36.0, "aim"), (35.9, "at least"), (24.0, "at least"), (23.9, "neither")]
)
def test_a_ratio_is_held_against_its_goal(value: float, reached: str) -> None:
    assert replace(FIGURE, value=value).reached == reached


def test_a_ratio_to_a_reference_below_its_published_rate_reaches_nothing() -> None:
    slow = replace(FIGURE, limit=Limit("the loop", 34.9, counts_from=35.0))
    assert slow.reached is None
    assert "does not count" in str(slow)
    assert "not comparable" in row(slow.as_json())


def test_less_is_better_where_the_goal_says_so() -> None:
    goal = Goal(2.0, 1.5, better="less")
    assert [goal.reached(seconds) for seconds in (1.5, 1.6, 2.0, 2.1)] == ["aim", "at least", "at least", "neither"]


def test_a_new_measurement_takes_the_place_of_its_row_and_of_no_other() -> None:
    first = with_rows(
        f"before\n{BEGIN}\n{END}\nafter\n", [FIGURE.as_json(), replace(FIGURE, name="other").as_json()], "on A"
    )
    second = with_rows(first, [replace(FIGURE, value=38.0).as_json()], "on B")
    lines = second.splitlines()
    assert lines[:4] == ["before", BEGIN, "on B", ""]
    assert "\n".join(lines[4:6]) == HEAD
    assert lines[6:8] == [row(replace(FIGURE, value=38.0).as_json()), row(replace(FIGURE, name="other").as_json())]
    assert lines[8:] == [END, "after"]


def test_what_is_missing_leaves_an_older_measurement_standing() -> None:
    document = with_rows(f"{BEGIN}\n{END}\n", [FIGURE.as_json()], "on A")
    missing = {"name": "speed", "missing": "there is no loop"}
    assert with_rows(document, [missing], "on A") == document
    assert "there is no loop" in with_rows(document, [{**missing, "name": "another"}], "on A")


def test_made_up_sessions_are_the_same_every_time_and_in_the_order_of_processing() -> None:
    first, second = (make_day(5_000, 20, FIRST_DAY, seed=7) for _ in range(2))
    for column, again in zip(first, second, strict=True):
        assert np.array_equal(column, again)
    assert np.array_equal(np.lexsort((first.symbol, first.ts)), np.arange(5_000))
    _check_prices(first)


def _check_prices(batch: TickBatch) -> None:
    assert (batch.bid_price > 0).all()
    assert (batch.bid_price[:, 0] < batch.ask_price[:, 0]).all()
    at_bid, at_ask = batch.ltp == batch.bid_price[:, 0], batch.ltp == batch.ask_price[:, 0]
    assert (at_bid | at_ask).all()


def test_the_short_table_has_the_same_figures_and_leaves_what_is_around_it() -> None:
    document = with_rows(f"{BEGIN}\n{END}\n", [FIGURE.as_json()], "on A")
    once = in_short(f"before\n{BEGIN}\n{END}\nafter\n", document)
    assert once == in_short(once, document)
    lines = once.splitlines()
    assert lines[:4] == ["before", BEGIN, "on A", ""]
    assert lines[4:6] == ["| figure | measured | ratio | at least | aim |", "|---|---|---|---|---|"]
    assert lines[6].startswith(f"| {FIGURE.name} | 30 ")
    assert lines[7:] == [END, "after"]


def test_a_text_without_a_table_is_named() -> None:
    with pytest.raises(SystemExit, match="no table"):
        in_short("# Of another kind", with_rows(f"{BEGIN}\n{END}\n", [FIGURE.as_json()], "on A"))
