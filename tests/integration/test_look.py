"""``quant orders``, ``quant portfolio`` and ``quant scan`` on a real ledger and a running exchange."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from rich.text import Text

from quant_platform import cli
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.orders import BUY, SELL
from quant_platform.domain.session import IST
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.ports.ledger_store import FillRow, LedgerBlock, OrderRow, RunRequest

NOON = int(datetime(2026, 7, 31, 12, 0, tzinfo=IST).timestamp()) * 10**9
SYMBOL = "NSE_EQ:RELIANCE"


pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def home(tmp_path: Path) -> HomeFolder:
    """A home folder whose portfolio ``mine`` made one round trip: +₹10.00 before, +₹8.50 after charges."""
    folder = HomeFolder(tmp_path / "user_data")
    with SqlLedger(folder.ledger) as ledger:
        ledger.begin(RunRequest("mine", "paper", "momentum", "{}", None, 20_000_00))
        ledger.commit(
            LedgerBlock(
                orders=[
                    OrderRow(1, NOON, SYMBOL, BUY, 2, 1_400_00, "price above VWAP"),
                    OrderRow(2, NOON + 10**9, SYMBOL, SELL, 2, 1_405_00, "below VWAP"),
                ],
                fills=[
                    FillRow(1, NOON, SYMBOL, BUY, 2, 2_800_00, 70, 0, 0, "price above VWAP", False),
                    FillRow(2, NOON + 10**9, SYMBOL, SELL, 2, 2_810_00, 80, 10_00, 8_50, "below VWAP", False),
                ],
                balance=20_008_50,
                last_equity=20_008_50,
                moment=NOON + 10**9,
            )
        )
        ledger.finish()
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[dict[str, object]]]:
    assert cli.run_command([*arguments, "--json"]) == 0
    parsed: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return parsed


@pytest.mark.usefixtures("home")
def test_orders_are_shown_with_reason_price_and_profit(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["orders"]) == 0
    buy, sell = [line for line in capsys.readouterr().out.splitlines() if "RELIANCE" in line]
    assert all(told in buy for told in ("2026-07-31 12:00:00", "mine", "BUY", "₹1,400.00", "price above VWAP"))
    assert all(told in sell for told in ("12:00:01", "SELL", "₹1,405.00", "₹8.50", "filled", "below VWAP"))
    newest = answer(capsys, "orders", "--last", "1")["orders"]
    assert [(order["side"], order["pnl"], order["value"]) for order in newest] == [("SELL", 8.5, 2810.0)]


@pytest.mark.usefixtures("home")
def test_a_narrow_terminal_shows_every_digit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "COLUMNS": "80", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    for command in (["orders"], ["portfolio", "list"]):
        assert cli.run_command(command) == 0
    out = Text.from_ansi(capsys.readouterr().out).plain
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert all(told in out for told in ("07-31 12:00:00", "₹1,400.00", "₹1,405.00", "₹8.50", "₹20,008.50"))


@pytest.mark.usefixtures("home")
def test_a_portfolio_is_listed_and_started_anew(capsys: pytest.CaptureFixture[str]) -> None:
    [listed] = answer(capsys, "portfolio", "list")["portfolios"]
    assert (listed["name"], listed["balance"], listed["starting_balance"]) == ("mine", 20_008.5, 20_000.0)
    assert cli.run_command(["portfolio", "list"]) == 0
    assert "₹20,008.50" in capsys.readouterr().out
    assert cli.run_command(["portfolio", "reset", "mine", "--yes", "--capital", "50000"]) == 0
    assert capsys.readouterr().out == "portfolio mine starts anew with ₹50,000.00\n"
    assert answer(capsys, "portfolio", "list")["portfolios"][0]["balance"] == 50_000.0
    assert len(answer(capsys, "orders")["orders"]) == 2


def test_a_run_nobody_carries_on_is_shown_as_interrupted(home: HomeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with SqlLedger(home.ledger) as ledger:
        ledger.begin(RunRequest("mine", "paper", "momentum", "another", None, 20_000_00))
    with HomeLock(home):
        assert answer(capsys, "portfolio", "list")["portfolios"][0]["last_run_state"] == "running"
    assert answer(capsys, "portfolio", "list")["portfolios"][0]["last_run_state"] == "interrupted"


@pytest.mark.usefixtures("home")
def test_an_unknown_portfolio_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["orders", "--portfolio", "yours"]) == 2
    assert "there is no portfolio 'yours' — the ledger has mine" in capsys.readouterr().err
    assert cli.run_command(["portfolio", "reset", "yours", "--yes"]) == 2


def test_a_portfolio_is_not_reset_under_a_running_platform(
    home: HomeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with HomeLock(home):
        assert cli.run_command(["portfolio", "reset", "mine", "--yes"]) == 3
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    assert answer(capsys, "portfolio", "list")["portfolios"][0]["balance"] == 20_008.5


def test_a_home_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\nfrom quant_platform.hosts.home import HomeFolder, HomeLock\n"
        "with HomeLock(HomeFolder(pathlib.Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Exception, match=f"in use by process {holder.pid}"):
            HomeLock(HomeFolder(tmp_path)).__enter__()
    finally:
        holder.kill()
        holder.communicate()
    with HomeLock(HomeFolder(tmp_path)):
        pass


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, str]]:
    """A demo exchange at 11:30, in a process of its own."""
    command = [sys.executable, "-m", "quant_platform.cli", "exchange", "--exit-with-parent"]
    command += ["--run-at-once", "--start", "11:30", "--token", "let-me-in"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.communicate()  # closes its standard input, at which it stops
    assert process.returncode == 0


def test_a_scan_picks_the_five_heaviest_movers(exchange: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--url", exchange["url"], "--token", exchange["token"]]
    assert cli.run_command(["scan", *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    scores = [pick["score"] for pick in found["picks"]]
    assert found["scanned"] == 100
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    for pick in found["picks"]:
        assert pick["score"] == pytest.approx(abs(pick["change"]) * 100 * pick["volume"])
    assert cli.run_command(["scan", *where]) == 0
    assert found["picks"][0]["symbol"] in capsys.readouterr().out


def test_a_scan_with_a_wrong_token_says_so_and_exits_2(
    exchange: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_command(["scan", "--url", exchange["url"], "--token", "wrong-secret"]) == 2
    err = capsys.readouterr().err
    assert "UDAPI100050" in err
    assert "wrong-secret" not in err
