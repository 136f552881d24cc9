"""A walk through the days: each window's set is the best of its sweep, and trades as its backtest does."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up import trading_days
from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import paise_from_rupees
from quant_platform.hosts.options import BacktestOptions, SweepOptions, WalkForwardOptions
from quant_platform.research import backtest, walkforward
from quant_platform.research.feeding import Span
from quant_platform.research.walkforward import spans_of
from tests.integration.sweep_rig import CAPITAL, COMPARED, depth_file, swept

GRID = {"rsi_entry": "45,55,65", "max_positions": "1,4"}
DAYS = 5


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return depth_file(tmp_path_factory.mktemp("walk") / "ticks.parquet", ticks=4000, days=DAYS)


def walked(capsys: pytest.CaptureFixture[str], data: Path, home: Path, **options: Any) -> dict[str, Any]:
    """What ``quant walkforward --json`` prints."""
    sweep = SweepOptions(data=[str(data)], capital=CAPITAL, swept=GRID, home=home, json=True)
    walkforward.run(WalkForwardOptions(sweep, **{"train": 2, "test": 1} | options))
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def backtested(capsys: pytest.CaptureFixture[str], data: Path, window: dict[str, Any], capital: int) -> dict[str, Any]:
    first, last = (date.fromisoformat(window["test"][end]) for end in ("first", "last"))
    parameters = {name: str(window["parameters"][name]) for name in GRID}
    run = BacktestOptions([str(data)], first=first, last=last, parameters=parameters, capital=capital, json=True)
    backtest.run(run)
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_each_window_trades_the_best_set_of_its_sweep_on_the_balance_before_it(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = walked(capsys, depth, tmp_path)
    days = trading_days(DAYS)
    assert [window["test"]["first"] for window in told["windows"]] == [str(day) for day in days[2:]]
    assert (told["sets"], told["ran"]) == (6, 3 * (6 + 1))
    balance = CAPITAL
    for number, window in enumerate(told["windows"]):
        trained = {"first": days[number], "last": days[number + 1]}
        assert window["train"] == {end: str(day) for end, day in trained.items()}
        results = tmp_path / f"{number}.parquet"
        best = swept(capsys, [depth], results, swept=GRID, **trained)["results"][0]
        assert window["parameters"] == best["parameters"]
        assert {name: window["trained"][name] for name in COMPARED} == {name: best[name] for name in COMPARED}
        alone = backtested(capsys, depth, window, balance)
        assert window["tested"]["round_trips"] > 0
        assert {name: window["tested"][name] for name in COMPARED} == {name: alone[name] for name in COMPARED}
        balance = int(paise_from_rupees(alone["ending_balance"]))
    assert int(paise_from_rupees(told["ending_balance"])) == balance
    assert told["net_pnl"] == round(told["ending_balance"] - told["starting_balance"], 2)


def test_a_walk_that_goes_on_runs_no_set_twice(depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = walked(capsys, depth, tmp_path, train=3, test=2)
    again = walked(capsys, depth, tmp_path, train=3, test=2)
    assert (part["ran"], again["ran"]) == (7, 0)
    assert part["windows"] == again["windows"]


def test_what_was_earned_is_printed_window_by_window(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = SweepOptions(data=[str(depth)], capital=CAPITAL, swept=GRID, home=tmp_path)
    walkforward.run(WalkForwardOptions(sweep, train=4, test=5))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[0] == str(trading_days(DAYS)[-1]) for line in lines if line.split())
    assert lines[-1].startswith("balance ₹5,00,000.00 to ₹")


def test_windows_trade_every_day_after_the_first_training_once() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(10)]
    assert spans_of(days, 4, 3) == [
        (Span(days[0], days[3]), Span(days[4], days[6])),
        (Span(days[3], days[6]), Span(days[7], days[9])),
    ]
    assert spans_of(days, 6, 3)[-1] == (Span(days[3], days[8]), Span(days[9], days[9]))
    assert spans_of(days, 9, 5) == [(Span(days[0], days[8]), Span(days[9], days[9]))]


def test_too_few_days_are_refused() -> None:
    with pytest.raises(UsageError, match="2 trading days are too few for --train 2"):
        spans_of([date(2026, 1, 1), date(2026, 1, 2)], 2, 1)
