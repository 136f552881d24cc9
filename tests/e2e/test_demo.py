"""A day of the simulated market: scanned, traded, flat at its end, and the same again from its seed or its ticks."""

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.e2e.platform_rig import (
    FEED_KEYS,
    RULE_KEYS,
    RUN_KEYS,
    Ledger,
    backtest,
    by_the_rules,
    killed_on_the_way,
    quant,
)

DAY = "2026-07-31"
SHORT_DAY = "2025-10-21"
"""Muhurat trading: an hour."""

pytestmark = pytest.mark.slow


def day_of(home: Path, *more: str, day: str = SHORT_DAY) -> list[str]:
    return ["--speed", "max", "--until-close", "--json", "--date", day, "--home", str(home), *more]


def demo(home: Path, *more: str, day: str = SHORT_DAY) -> dict[str, Any]:
    return quant("up", *day_of(home, *more, day=day), cwd=home.parent).numbers


@pytest.fixture(scope="module")
def whole_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    return home, demo(home, day=DAY)


@pytest.fixture(scope="module")
def short_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Three runs of one portfolio: a day, another seed's day, and the first one again, fresh."""
    home = tmp_path_factory.mktemp("muhurat") / "home"
    return home, [demo(home, "--portfolio", "mine", *more) for more in ((), ("--seed", "2"), ("--fresh",))]


def test_a_day_is_traded_in_several_symbols_and_ends_flat(whole_day: tuple[Path, dict[str, Any]]) -> None:
    home, numbers = whole_day
    assert set(numbers) == {*RULE_KEYS, *RUN_KEYS, *FEED_KEYS}
    assert (numbers["mode"], numbers["source"], numbers["obi"]) == ("embedded", "demo", "depth")
    assert len(Ledger(home).rows("SELECT DISTINCT symbol FROM executed_orders")) >= 3
    assert numbers["net_pnl"] == round(numbers["ending_balance"] - numbers["starting_balance"], 2)
    Ledger(home).require_balanced()


def test_every_scan_picks_five_and_is_stored(whole_day: tuple[Path, dict[str, Any]]) -> None:
    home, numbers = whole_day
    scans = Counter(stamp for (stamp,) in Ledger(home).rows("SELECT timestamp FROM scanner_results"))
    assert len(scans) == numbers["scans"] > 60
    assert set(scans.values()) == {5}


def test_what_warmed_the_symbols_is_stored(whole_day: tuple[Path, dict[str, Any]]) -> None:
    home, _ = whole_day
    bars = home / "ticks" / f"date={DAY}" / "bars" / "bars.parquet"
    query = f"SELECT symbol, count(*) FROM '{bars}' WHERE kind = 'warm-up' GROUP BY symbol"
    warmed = dict(duckdb.sql(query).fetchall())
    traded = {symbol for (symbol,) in Ledger(home).rows("SELECT DISTINCT symbol FROM executed_orders")}
    assert traded <= set(warmed)
    assert set(warmed.values()) == {250}


def test_a_backtest_on_the_stored_ticks_gives_the_day_again(whole_day: tuple[Path, dict[str, Any]]) -> None:
    home, numbers = whole_day
    assert by_the_rules(backtest(home / "ticks")) == by_the_rules(numbers)


def test_another_seed_is_another_day_on_the_balance_of_the_one_before(
    short_days: tuple[Path, list[dict[str, Any]]],
) -> None:
    _, (first, second, _) = short_days
    assert first["starting_balance"] == 20_000
    assert first["ending_balance"] != 20_000
    assert second["starting_balance"] == first["ending_balance"]
    assert second["ledger_sha256"] != first["ledger_sha256"]


def test_a_fresh_portfolio_sees_the_same_day_by_the_same_seed(short_days: tuple[Path, list[dict[str, Any]]]) -> None:
    home, (first, second, fresh) = short_days
    assert by_the_rules(fresh) == by_the_rules(first)
    ledger = Ledger(home)
    assert ledger.runs() == [(f"mine-000{number}", "complete") for number in (1, 2, 3)]
    counted = ledger.rows("SELECT count(*) FROM orders GROUP BY run_id ORDER BY run_id")
    assert [count for (count,) in counted] == [first["orders"], second["orders"], fresh["orders"]]
    ledger.require_balanced()


def test_a_day_killed_on_its_way_ends_like_one_that_was_not(
    short_days: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    _, (undisturbed, _, _) = short_days
    home = tmp_path / "home"
    numbers = killed_on_the_way(day_of(home), home, undisturbed["orders"], kills=3, seed=3)
    assert by_the_rules(numbers) == by_the_rules(undisturbed)
    assert [state for _, state in Ledger(home).runs()] == ["complete"]
    Ledger(home).require_balanced()
    assert by_the_rules(backtest(home / "ticks")) == by_the_rules(undisturbed)
