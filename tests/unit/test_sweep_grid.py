"""The grid of a sweep: lists, ranges, and the errors that `quant backtest --set` gives too."""

import pytest

from quant_platform.domain.errors import StrategyError, UsageError
from quant_platform.research.grid import MOST_SETS, parameter_grid


def sets_of(**swept: str) -> list[dict[str, str]]:
    return parameter_grid("momentum", {}, swept).sets


def test_every_combination_is_a_set_and_the_last_name_changes_fastest() -> None:
    assert sets_of(rsi_entry="50,55", max_positions="1,2") == [
        {"rsi_entry": "50", "max_positions": "1"},
        {"rsi_entry": "50", "max_positions": "2"},
        {"rsi_entry": "55", "max_positions": "1"},
        {"rsi_entry": "55", "max_positions": "2"},
    ]


def test_what_all_sets_share_stands_in_each_and_is_covered_by_what_is_swept() -> None:
    grid = parameter_grid("momentum", {"latency_ms": "500", "rsi_exit": "40"}, {"rsi_exit": "41,42"})
    assert grid.sets == [{"latency_ms": "500", "rsi_exit": "41"}, {"latency_ms": "500", "rsi_exit": "42"}]
    assert grid.axes == {"rsi_exit": [41.0, 42.0]}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("45:60:5", [45.0, 50.0, 55.0, 60.0]),
        ("45:59:5", [45.0, 50.0, 55.0]),
        ("50:50:1", [50.0]),
        ("0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("40,50:52:1", [40.0, 50.0, 51.0, 52.0]),
        ("50,50.0,5e1", [50.0]),
    ],
)
def test_a_range_holds_both_its_ends_and_a_value_counts_once(text: str, values: list[float]) -> None:
    assert parameter_grid("momentum", {}, {"rsi_entry": text}).axes["rsi_entry"] == values


def test_a_time_is_no_range() -> None:
    grid = parameter_grid("momentum", {}, {"square_off": "15:00,15:10:30", "entry_until": ",14:00"})
    assert grid.axes == {"square_off": ["15:00:00", "15:10:30"], "entry_until": ["", "14:00:00"]}


@pytest.mark.parametrize("text", ["60:45:5", "45:60:0", "45:60:-5", "45:x:5", "1:nan:1", "1:inf:1"])
def test_a_range_that_leads_nowhere_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"rsi_entry=.* is no range"):
        sets_of(rsi_entry=text)


def test_an_unknown_name_and_an_ill_typed_value_are_refused_as_by_a_backtest() -> None:
    with pytest.raises(StrategyError, match="unknown parameter 'rsi_entri'"):
        sets_of(rsi_entri="50,55")
    with pytest.raises(StrategyError, match=r"max_positions='2\.5' cannot be read"):
        sets_of(max_positions="1,2.5")
    with pytest.raises(StrategyError, match="max_positions=0 is out of range"):
        sets_of(max_positions="0:3:1")


def test_a_grid_that_nobody_would_wait_for_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match=f"more than {MOST_SETS:,}"):
        sets_of(rsi_entry="1:1000:1", rsi_exit="1:1000:1")
    with pytest.raises(UsageError, match="has 1,000,001 values"):
        sets_of(rsi_entry="0:1:0.000001")
