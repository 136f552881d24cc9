"""SIGKILL at any moment: the same command goes on, and the day ends as if nothing had happened."""

from pathlib import Path

import pytest

from tests.e2e.platform_rig import Ledger, backtest, by_the_rules, depth_file, killed_on_the_way, replay_of

KILLS = 20


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
