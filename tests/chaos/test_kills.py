"""SIGKILL at any moment: the same command goes on, and the day ends as if nothing had happened."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.platform_rig import (
    Ledger,
    backtest,
    by_the_rules,
    depth_file,
    exchange_of,
    is_gone,
    quant,
    replay_of,
    started,
    wait_until,
)

KILLS = 20


def killed_when(happened: Callable[[], bool], command: list[str], folder: Path, delay_s: float) -> psutil.Process:
    """Start the platform, kill it a little after something happened; its exchange is handed back."""
    with started(*command, cwd=folder) as process:
        assert wait_until(lambda: exchange_of(process) is not None, process)
        exchange = exchange_of(process)
        assert exchange is not None
        assert wait_until(happened, process), (folder / "stderr.txt").read_text()
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return exchange


def require_gone(exchanges: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 30
    while alive := [each for each in exchanges if not is_gone(each)]:
        assert time.monotonic() < deadline, f"without a platform, {alive} still run"
        time.sleep(0.05)


def killed_on_the_way(command: list[str], home: Path, orders: int, kills: int, seed: int) -> dict[str, Any]:
    """Kill the platform at seeded moments between a run's first and last order; returns the end's numbers."""
    chance, ledger = random.Random(seed), Ledger(home)
    exchanges = []
    for target in sorted(chance.sample(range(1, orders - 10), kills)):
        reached = lambda target=target: ledger.executed() >= target  # noqa: E731
        exchanges.append(killed_when(reached, command, home.parent, chance.random() * 0.05))
    require_gone(exchanges)
    return quant("up", *command, cwd=home.parent).numbers


@pytest.mark.slow
def test_a_replay_killed_twenty_times_ends_like_one_that_was_not(tmp_path: Path) -> None:
    data, home = depth_file(tmp_path / "depth.parquet"), tmp_path / "home"
    undisturbed = backtest(data)
    numbers = killed_on_the_way(replay_of(data, home), home, undisturbed["orders"], KILLS, seed=20)
    assert by_the_rules(numbers) == by_the_rules(undisturbed)
    assert [state for _, state in Ledger(home).runs()] == ["complete"]
    Ledger(home).require_balanced()
    stored = backtest(home / "ticks")
    assert by_the_rules(stored) == by_the_rules(undisturbed)
