"""Files to sweep over, and a sweep and the backtests of its sets as their JSON says."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up import make_day, tables, trading_days, write_ticks
from quant_platform.hosts.options import BacktestOptions, SweepOptions
from quant_platform.research import backtest, sweep
from quant_platform.research.sweep_results import MONEY, NUMBERS

SYMBOLS = 4
CAPITAL = 50_000_000
COMPARED = (*NUMBERS, "refusals")

assert set(MONEY) < set(NUMBERS)


def depth_file(path: Path, ticks: int = 6000, days: int = 2) -> Path:
    """Sessions of ticks with five levels."""
    batches = [make_day(ticks, SYMBOLS, day, seed=11 + number) for number, day in enumerate(trading_days(days))]
    write_ticks(path, (table for batch in batches for table in tables(batch, SYMBOLS)))
    return path


def swept(capsys: pytest.CaptureFixture[str], data: Sequence[Path], results: Path, **options: Any) -> dict[str, Any]:
    """What ``quant sweep --json`` prints."""
    paths = [str(path) for path in data]
    sweep.run(SweepOptions(**{"data": paths, "capital": CAPITAL, "results": results, "json": True} | options))
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def assert_each_set_is_its_backtest(
    capsys: pytest.CaptureFixture[str], told: dict[str, Any], data: Sequence[Path], names: Sequence[str], **options: Any
) -> None:
    """Every number of every set, the ledger's hash among them."""
    for each in told["results"]:
        parameters = {name: str(each["parameters"][name]) for name in names}
        run = BacktestOptions(
            [str(path) for path in data], parameters=parameters, json=True, **{"capital": CAPITAL} | options
        )
        backtest.run(run)
        alone = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert {name: each[name] for name in COMPARED} == {name: alone[name] for name in COMPARED}, parameters


def second_day() -> date:
    return trading_days(2)[1]
