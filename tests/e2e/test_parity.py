"""A run of the platform and a backtest of its stored ticks, compared order by order."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.platform_rig import Outcome, quant

DAY = "2025-10-21"
"""Muhurat trading: an hour."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portfolio's hour with settings of its own, on the balance that another hour left."""
    home = tmp_path_factory.mktemp("parity") / "home"
    for day in ("2025-10-20", DAY):
        done = quant(
            "up", "--speed", "max", "--until-close", "--json", "--date", day, "--home", home, "--portfolio", "mine",
            "--set", "rsi_entry=52", cwd=home.parent,
        )  # fmt: skip
        assert done.code == 0, done.err
    return home


def parity(home: Path, *more: str, settings: str = "rsi_entry=52") -> Outcome:
    return quant("parity", "--home", home, "--portfolio", "mine", "--set", settings, *more, cwd=home.parent)


def test_a_run_and_a_backtest_of_its_day_have_the_same_orders(home: Path) -> None:
    done = parity(home, "--json")
    assert done.code == 0, done.err
    found = done.numbers
    assert (found["alike"], found["differences"], found["first"], found["last"]) == (True, [], DAY, DAY)
    assert found["run"]["name"] == "demo mine-0002"
    assert found["run"]["orders"] > 0
    assert {**found["run"], "name": ""} == {**found["backtest"], "name": ""}
    told = parity(home)
    assert told.code == 0
    assert f"all {found['run']['orders']} orders are alike; ledger sha256 {found['run']['ledger_sha256']}" in told.out


def test_the_order_that_differs_is_named(home: Path, tmp_path: Path) -> None:
    changed = tmp_path / "home"
    changed.mkdir()
    (changed / "ticks").symlink_to(home / "ticks")
    (changed / "ledger.sqlite").write_bytes((home / "ledger.sqlite").read_bytes())
    with sqlite3.connect(changed / "ledger.sqlite") as raw:
        statement = "UPDATE orders SET reason = 'a whim' WHERE run_id = 'mine-0002' AND order_no = 2"
        assert raw.execute(statement).rowcount == 1
    raw.close()
    done = parity(changed, "--json")
    assert done.code == 1
    [difference] = json.loads(done.out.splitlines()[-1])["differences"]
    assert difference["order"] == 2
    assert difference["run"]["reason"] == "a whim" != difference["backtest"]["reason"]
    told = parity(changed)
    assert told.code == 1
    assert "1 of " in told.out
    assert "a whim" in told.out


def test_other_settings_than_the_runs_are_refused(home: Path) -> None:
    done = parity(home, settings="rsi_entry=55")
    assert done.code == 2
    assert "run mine-0002 was decided by another strategy, or with other settings" in done.err


def test_a_portfolio_without_a_run_is_refused(home: Path) -> None:
    done = quant("parity", "--home", home, "--portfolio", "other", cwd=home.parent)
    assert done.code == 2
    assert "portfolio 'other' has no run yet — the ledger has mine" in done.err


def test_ticks_that_are_gone_are_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes((home / "ledger.sqlite").read_bytes())
    done = parity(tmp_path)
    assert done.code == 2
    assert f"the ticks of {DAY} are not in {tmp_path / 'ticks'}" in done.err
