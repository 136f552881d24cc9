"""The feed cut a hundred times in a day: every gap is noticed, told and mended, and the day ends flat."""

from pathlib import Path

import pytest

from tests.e2e.platform_rig import SESSIONS, Ledger, backtest, by_the_rules, depth_file, replay

CUTS = 100


@pytest.mark.slow
def test_a_day_cut_a_hundred_times_ends_flat_and_is_stored_as_it_was_seen(tmp_path: Path) -> None:
    data = depth_file(tmp_path / "depth.parquet")
    one_day = ("--date", SESSIONS[0].isoformat(), "--cut", str(CUTS))
    home = tmp_path / "home"
    outcome = replay(data, home, *one_day)
    numbers = outcome.numbers
    assert numbers["feed"]["reconnects"] == CUTS
    assert numbers["feed"]["gaps"] == CUTS
    assert outcome.err.count("gap in the feed") == CUTS
    assert outcome.err.count("the feed is down") >= CUTS
    whole = backtest(data, "--from", one_day[1], "--to", one_day[1])
    assert whole["ticks"] // 2 < numbers["ticks"] < whole["ticks"]
    assert numbers["orders"] > 0
    Ledger(home).require_balanced()
    assert by_the_rules(backtest(home / "ticks")) == by_the_rules(numbers)
