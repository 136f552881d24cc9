"""SIGTERM and Ctrl-C: everything is committed and on the disk, and the same command goes on."""

import json
import signal
from pathlib import Path

import pytest
from pyarrow import parquet

from quant_platform.adapters.ticks.segments import read_segment, segments_in
from tests.e2e.platform_rig import (
    Ledger,
    backtest,
    by_the_rules,
    candle_file,
    depth_file,
    exchange_of,
    quant,
    replay_of,
    require_gone,
    started,
    wait_until,
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_replay_loses_nothing_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    data, home = depth_file(tmp_path / "depth.parquet"), tmp_path / "home"
    undisturbed = backtest(data)
    command, ledger = replay_of(data, home), Ledger(home)
    with started(*command, cwd=tmp_path) as process:
        assert wait_until(lambda: ledger.executed() >= undisturbed["orders"] // 4, process)
        exchange = exchange_of(process)
        assert exchange is not None
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    require_gone([exchange])
    so_far = json.loads(out.splitlines()[-1])
    assert so_far["orders"] == len(ledger.rows("SELECT 1 FROM orders")) < undisturbed["orders"]
    assert so_far["ticks"] - so_far["duplicates"] == stored_ticks(home)
    assert [state for _, state in ledger.runs()] == ["running"]
    assert by_the_rules(quant("up", *command, cwd=tmp_path).numbers) == by_the_rules(undisturbed)
    assert [state for _, state in ledger.runs()] == ["complete"]
    ledger.require_balanced()


def test_a_replay_stopped_and_killed_before_its_first_tick_is_one_run(tmp_path: Path) -> None:
    data, home = candle_file(tmp_path / "candles.parquet"), tmp_path / "home"
    command, ledger = replay_of(data, home), Ledger(home)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with started(*command, cwd=tmp_path) as process:
            assert wait_until(lambda: exchange_of(process) is not None, process)
            exchange = exchange_of(process)
            assert exchange is not None
            process.send_signal(number)
            process.communicate(timeout=60)
        require_gone([exchange])
    assert by_the_rules(quant("up", *command, cwd=tmp_path).numbers) == by_the_rules(backtest(data))
    assert [state for _, state in ledger.runs()] == ["complete"]
    ledger.require_balanced()


def test_a_demo_at_the_walls_pace_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = (
        "--home",
        str(home),
        "--json",
        "--until-close",
        "--speed",
        "600",
        "--date",
        "2025-10-21",
        "--capital",
        "50000",
    )
    ledger = Ledger(home)
    with started(*command, cwd=tmp_path) as process:
        assert wait_until(lambda: ledger.executed() > 0, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    numbers = quant("up", *command, cwd=tmp_path).numbers
    assert numbers["orders"] > 0
    assert numbers["starting_balance"] == 50_000
    assert [state for _, state in ledger.runs()] == ["complete"]
    ledger.require_balanced()


def stored_ticks(home: Path) -> int:
    """Rows on the disk, in files of whole days and in the segments of the day that was interrupted."""
    folder = home / "ticks"
    whole = sum(parquet.read_metadata(path).num_rows for path in folder.glob("date=*/ticks.parquet"))
    segments = [path for day in folder.glob("date=*") for path in segments_in(day / "segments")]
    return whole + sum(batch.num_rows for path in segments for batch in read_segment(path))
