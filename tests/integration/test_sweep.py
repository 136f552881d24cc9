"""A sweep gives each set the numbers of its backtest, runs no set twice, and keeps what was done when it is stopped."""

import contextlib
import csv
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from quant_platform.domain.errors import StrategyError, UsageError
from quant_platform.domain.money import paise_from_rupees
from quant_platform.hosts.options import SweepOptions
from quant_platform.research import sweep
from quant_platform.research.sweep_results import ResultsFile, SetResult
from tests.golden.test_golden_files import ENTRIES, name_of
from tests.integration.sweep_rig import CAPITAL, assert_each_set_is_its_backtest, depth_file, second_day, swept

GRID = {"rsi_entry": "50,55", "rsi_exit": "40,45", "rsi_period": "5,14", "max_positions": "1,10"}
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

FAILING = '''
"""Fails for one of its values, once others were run."""
from dataclasses import dataclass
from quant_platform.services.strategy_runtime.strategies.momentum import Momentum


class Failing(Momentum):
    @dataclass(frozen=True, slots=True)
    class Parameters:
        rsi_entry: float = 50.0
        rsi_exit: float = 45.0

    def signals(self, features):
        if self.parameters.rsi_entry == {limit}:
            {action}
        return super().signals(features)
'''


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return depth_file(tmp_path_factory.mktemp("sweep") / "ticks.parquet")


def failing_strategy(path: Path, limit: int, action: str) -> Path:
    path.write_text(FAILING.format(limit=limit, action=action), "utf-8")
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_every_set_gives_the_numbers_of_its_backtest(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    told = swept(capsys, [depth], tmp_path / "r.parquet", swept=GRID, workers=workers)
    assert (told["sets"], told["ran"]) == (16, 16)
    assert len({each["ledger_sha256"] for each in told["results"]}) == 16
    assert all(each["round_trips"] > 3 for each in told["results"])
    assert_each_set_is_its_backtest(capsys, told, [depth], list(GRID))


def test_a_sweep_that_starts_in_mid_file_is_warmed_up_as_a_backtest_is(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, part = (
        {"rsi_period": "14,30", "sma_period": "20"},
        {"first": second_day(), "symbols": ("NSE_EQ:ABB", "NSE_EQ:ADANIENT")},
    )
    told = swept(capsys, [depth], tmp_path / "r.parquet", swept=grid, **part)
    assert all(each["round_trips"] > 0 for each in told["results"])
    assert_each_set_is_its_backtest(capsys, told, [depth], list(grid), **part)


def test_a_strategy_with_a_memory_is_swept_too(depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid, mine = {"range_minutes": "5,30"}, {"strategy": str(EXAMPLES / "opening_range.py")}
    told = swept(capsys, [depth], tmp_path / "r.parquet", swept=grid, workers=2, **mine)
    assert all(each["round_trips"] > 0 for each in told["results"])
    assert_each_set_is_its_backtest(capsys, told, [depth], list(grid), **mine)


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_the_known_answers_come_out_of_a_sweep(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: dict[str, Any]
) -> None:
    grid = {name: str(value) for name, value in entry["set"].items()} or {"max_positions": "10"}
    capital = paise_from_rupees(entry["capital"])
    told = swept(capsys, [shared_data / entry["file"]], tmp_path / "r.parquet", swept=grid, capital=capital)
    [found] = told["results"]
    assert {name: found[name] for name in entry["expect"]} == entry["expect"]


def test_the_best_set_stands_first(depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = swept(capsys, [depth], tmp_path / "r.parquet", swept={"rsi_entry": "40:70:5"})
    nets = [each["net_pnl"] for each in told["results"]]
    assert nets == sorted(nets, reverse=True)
    assert len(set(nets)) > 3


def test_only_new_sets_are_run_and_a_result_read_again_is_the_same(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "r.parquet"
    first = swept(capsys, [depth], results, swept={"rsi_entry": "50,55"})
    again = swept(capsys, [depth], results, swept={"rsi_entry": "50,55.0"})
    more = swept(capsys, [depth], results, swept={"rsi_entry": "50:60:5"})
    assert (first["ran"], again["ran"], more["ran"], more["sets"]) == (2, 0, 1, 3)
    assert again["results"] == first["results"]
    assert all(each in more["results"] for each in first["results"])


def test_other_data_capital_or_range_is_another_sweep_and_both_stay_in_the_file(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, grid = tmp_path / "r.parquet", {"rsi_entry": "50,55"}
    swept(capsys, [depth], results, swept=grid)
    assert swept(capsys, [depth], results, swept=grid, capital=40_000_000)["ran"] == 2
    assert swept(capsys, [depth], results, swept=grid, last=second_day(), first=second_day())["ran"] == 2
    other = depth_file(tmp_path / "other.parquet", ticks=3000)
    assert swept(capsys, [other], results, swept=grid)["ran"] == 2
    assert swept(capsys, [depth], results, swept=grid)["ran"] == 0
    assert pq.read_table(results).num_rows == 8


def test_what_was_done_before_a_strategy_failed_is_not_run_again(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = {"strategy": str(failing_strategy(tmp_path / "my_failing.py", 57, "raise ValueError('57')")), "workers": 1}
    with pytest.raises(StrategyError, match="failed in signals: ValueError: 57"):
        swept(capsys, [depth], tmp_path / "r.parquet", swept={"rsi_entry": "50:57:1"}, **mine)
    told = swept(capsys, [depth], tmp_path / "r.parquet", swept={"rsi_entry": "50:56:1"}, **mine)
    assert told["ran"] < told["sets"] == 7


def test_a_killed_worker_ends_the_sweep_with_a_cure(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killing = failing_strategy(tmp_path / "my_killing.py", 50, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(Exception, match="a worker of the sweep was killed — give fewer --workers"):
        swept(capsys, [depth], tmp_path / "r.parquet", swept={"rsi_entry": "50,51"}, strategy=str(killing), workers=2)


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_or_killed_sweep_keeps_its_results_and_leaves_no_process(
    depth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals, code: int
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    results = tmp_path / "r.parquet"
    strategy = tmp_path / "my_slow.py"
    slow = failing_strategy(
        strategy, 57, f"open({str(tmp_path / 'begun')!r}, 'w').close(); import time; time.sleep(99)"
    )
    process = subprocess.Popen(command(depth, slow, results), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "begun").exists() and results.exists())
    workers = workers_of(process.pid)
    process.send_signal(ending)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in complaint
    assert workers
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert pq.read_table(results).num_rows in {2, 4, 6}  # of eight sets, run two by two
    failing_strategy(strategy, 99, "return")
    subprocess.run(command(depth, slow, results), check=True, stdout=subprocess.DEVNULL)
    assert not list(tmp_path.glob("quant-sweep-*"))


def test_a_sweep_stops_even_where_python_loses_the_interrupt(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_and_none_the_wiser(results: ResultsFile, result: SetResult) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # as in a destructor
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ResultsFile, "add", interrupted_and_none_the_wiser)
    slow = failing_strategy(tmp_path / "my_slow.py", 51, "import time; time.sleep(99)")
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background of a shell
    with pytest.raises(KeyboardInterrupt):
        swept(capsys, [depth], tmp_path / "r.parquet", swept={"rsi_entry": "50,51"}, strategy=str(slow), workers=2)
    assert multiprocessing.active_children() == []
    assert signal.getsignal(signal.SIGINT) is before


def command(data: Path, strategy: Path, results: Path) -> list[str]:
    sweep = [sys.executable, "-m", "quant_platform.cli", "sweep", "--data", str(data), "--strategy", str(strategy)]
    return [*sweep, "--set", "rsi_entry=50:57:1", "--results", str(results), "--workers", "1"]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def test_the_report_holds_every_set_and_a_heat_map(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"rsi_entry": "50,55,60", "rsi_exit": "40,45"}
    folder = tmp_path / "report"
    for _ in range(2):  # a report of ours is replaced
        told = swept(capsys, [depth], tmp_path / "r.parquet", swept=grid, report=folder)
    with (folder / "sets.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["net_pnl"]) for row in rows] == [each["net_pnl"] for each in told["results"]]
    assert [float(row["rsi_exit"]) for row in rows] == [each["parameters"]["rsi_exit"] for each in told["results"]]
    assert json.loads((folder / "sets.json").read_text("utf-8"))[0]["ledger_sha256"] == rows[0]["ledger_sha256"]
    assert (folder / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "summary.json").read_text("utf-8"))["sets"] == 6


def test_the_table_shows_the_best_and_says_how_many_more_there_are(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(
        SweepOptions(
            [str(depth)], CAPITAL, {"rsi_entry": "50:60:2"}, results=tmp_path / "r.parquet", home=tmp_path, top=2
        )
    )
    table, _, rest = capsys.readouterr().out.partition("4 more sets, the last at ")
    lines = [line.split() for line in table.splitlines() if "₹" in line]
    assert len(lines) == 2
    assert rest.splitlines()[-1] == f"results in {tmp_path / 'r.parquet'}"


def test_a_sweep_in_which_nothing_traded_says_what_was_refused(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(SweepOptions([str(depth)], 10_000, {"rsi_entry": "50,55"}, results=tmp_path / "r.parquet"))
    assert "no set traded; the first one's refusals: price_above_budget" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_is_no_results_file_is_left_alone(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = depth.read_bytes()
    with pytest.raises(UsageError, match="does not hold results of a sweep"):
        swept(capsys, [depth], depth, swept={"rsi_entry": "50,55"})
    assert depth.read_bytes() == before
