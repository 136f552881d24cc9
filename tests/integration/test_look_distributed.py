"""``quant orders`` and ``quant portfolio`` on the ledger of the services, which is in Postgres."""

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from quant_platform import cli
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import FencedError
from tests.servers import Database

from .ledger_days import request, round_trips

DISTRIBUTED = ("--mode", "distributed")


@pytest.fixture(autouse=True)
def _settings(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("QUANT_", "UPSTOX_", "POSTGRES_")) and name != "QUANT_KERNEL_CACHE":
            monkeypatch.delenv(name)
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_the_services_orders_and_portfolios_are_shown(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with SqlLedger(database.url) as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), 3):
            ledger.commit(block)
        assert cli.run_command(["orders", *DISTRIBUTED, "--json", "--last", "2"]) == 0
        orders = json.loads(capsys.readouterr().out)["orders"]
        assert [(order["side"], order["portfolio"]) for order in orders] == [("BUY", "main"), ("SELL", "main")]
        assert cli.run_command(["portfolio", "list", *DISTRIBUTED, "--json"]) == 0
        [portfolio] = json.loads(capsys.readouterr().out)["portfolios"]
        assert (portfolio["name"], portfolio["open_positions"], portfolio["last_run_state"]) == ("main", 1, "running")


def test_a_portfolio_of_the_services_is_started_anew_and_its_runtime_fenced_off(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = round_trips()
    with SqlLedger(database.url) as runtime:
        runtime.begin(request())
        runtime.commit(next(blocks))
        assert cli.run_command(["portfolio", "reset", "main", "--yes", "--capital", "50000", *DISTRIBUTED]) == 0
        assert capsys.readouterr().out == "portfolio main starts anew with ₹50,000.00\n"
        with pytest.raises(FencedError, match="another program has taken over portfolio 'main'"):
            runtime.commit(next(blocks))
        assert [(view.balance, view.open_positions) for view in runtime.portfolios()] == [(50_000_00, 0)]


def test_a_wrong_password_is_named_and_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "mistyped")
    assert cli.run_command(["orders", *DISTRIBUTED]) == 2
    told = capsys.readouterr().err
    assert "postgres.password" in told
    assert "mistyped" not in told


def test_a_home_without_a_ledger_points_to_the_services(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["orders"], ["portfolio", "list"], ["portfolio", "reset", "main", "--yes"]):
        assert cli.run_command(command) == 2
        assert "--mode distributed for that of Postgres" in capsys.readouterr().err
