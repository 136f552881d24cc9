"""A day of the simulated market: scanned, traded, flat at its end, and the same again from its seed or its ticks."""

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.e2e.platform_rig import FEED_KEYS, RULE_KEYS, RUN_KEYS, Ledger, backtest, by_the_rules, quant

DAY = "2026-07-31"
SHORT_DAY = "2025-10-21"
"""Muhurat trading: an hour."""

pytestmark = pytest.mark.slow


def demo(home: Path, *more: str, day: str = SHORT_DAY) -> dict[str, Any]:
    fast = ("--speed", "max", "--until-close", "--json", "--date", day)
    return quant("up", *fast, "--home", home, *more, cwd=home.parent).numbers


@pytest.fixture(scope="module")
def whole_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    return home, demo(home, day=DAY)


@pytest.fixture(scope="module")
def short_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("muhurat") / "home"
    return home, demo(home)


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


def test_the_same_seed_gives_the_same_day(short_day: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, numbers = short_day
    assert numbers["orders"] > 0
    assert by_the_rules(demo(tmp_path / "home")) == by_the_rules(numbers)


def test_another_seed_gives_another_day(short_day: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, numbers = short_day
    assert demo(tmp_path / "home", "--seed", "2")["ledger_sha256"] != numbers["ledger_sha256"]


def test_a_portfolio_goes_on_with_its_balance_or_starts_anew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = demo(home, "--portfolio", "mine")
    second = demo(home, "--portfolio", "mine", "--seed", "2")
    assert first["starting_balance"] == 20_000
    assert first["ending_balance"] != 20_000
    assert second["starting_balance"] == first["ending_balance"]
    assert second["orders"] == len(Ledger(home).rows("SELECT 1 FROM orders WHERE run_id = 'mine-0002'"))
    fresh = demo(home, "--portfolio", "mine", "--fresh")
    assert by_the_rules(fresh) == by_the_rules(first)
    richer = demo(home, "--portfolio", "mine", "--capital", "50000")
    assert richer["starting_balance"] == 50_000
    Ledger(home).require_balanced()
