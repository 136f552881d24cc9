"""A platform is squared off and resumed from another process, and finds the order again after a restart."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.platform_rig import Ledger, Outcome, quant, started, wait_until

pytestmark = pytest.mark.slow

DAY = "2026-07-31"
SPEED = "60"
OPEN_POSITIONS = "SELECT count(*) FROM positions"
ENTRIES = "SELECT count(*) FROM orders WHERE transaction_type = 'BUY'"
PENDING = "SELECT count(*) FROM orders WHERE state = 'pending'"
BY_COMMAND = "SELECT count(*) FROM executed_orders WHERE reason = 'squared off by command'"


HOLDS = """
from dataclasses import dataclass


class Holds:
    name = "holds"

    @dataclass(frozen=True)
    class Parameters:
        pass

    def __init__(self, parameters):
        self.parameters = parameters

    def signals(self, features):
        return features.ltp > 0, features.ltp < 0

    def explain_entry(self, tick):
        return "always"

    def explain_exit(self, tick):
        return "never"
"""
"""Buys what there is and sells nothing: what is sold before the square-off was sold by command."""


def count(home: Path, query: str) -> int:
    rows = Ledger(home).rows(query)
    return int(rows[0][0]) if rows else 0


def order(what: str, home: Path, *more: str) -> Outcome:
    done = quant(what, "--home", home, *more, cwd=home.parent)
    assert done.code == 0, done.err
    return done


def stopped(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    process.wait(60)


def test_out_of_everything_holds_over_a_restart_until_it_is_taken_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    strategy = tmp_path / "holds.py"
    strategy.write_text(HOLDS)
    command = ["--date", DAY, "--speed", SPEED, "--json", "--home", str(home), "--strategy", str(strategy)]
    command += ["--set", "risk_per_trade_bps=10000"]  # no stop is touched
    with started(*command, cwd=tmp_path) as process:
        assert wait_until(lambda: count(home, OPEN_POSITIONS) >= 2, process)
        order("squareoff", home, "--reason", "storm")
        assert wait_until(lambda: count(home, OPEN_POSITIONS) == count(home, PENDING) == 0, process)
        assert count(home, BY_COMMAND) >= 2
        entries = count(home, ENTRIES)
        stopped(process)
    with started(*command, cwd=tmp_path) as process:
        assert wait_until(lambda: "until `quant resume`" in (tmp_path / "stderr.txt").read_text(), process)
        [portfolio] = quant("portfolio", "list", "--json", "--home", home, cwd=tmp_path).numbers["portfolios"]
        assert (portfolio["halt"], portfolio["halt_reason"]) == ("squared off", "storm")
        assert count(home, ENTRIES) == entries
        assert "trades again" in order("resume", home).out
        assert wait_until(lambda: count(home, ENTRIES) > entries, process)
        stopped(process)
    assert count(home, BY_COMMAND) >= 2
    audit = Ledger(home).rows("SELECT what FROM audit_log WHERE chain = 'default/commands' ORDER BY seq")
    assert audit == [("squared off",), ("resumed",)]


def test_an_order_for_nobody_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    missing = quant("halt", "--home", home, cwd=tmp_path)
    assert (missing.code, "there is no ledger" in missing.err) == (2, True)
    day = ["--date", "2025-10-21", "--speed", "max", "--until-close", "--json"]
    quant("up", *day, "--home", home, cwd=tmp_path)
    assert quant("halt", "--portfolio", "mian", "--home", home, cwd=tmp_path).code == 2
    assert "it counts from the next `quant up` on" in order("halt", home).out
    halted = quant("up", *day, "--seed", "2", "--home", home, cwd=tmp_path).numbers
    assert (halted["orders"], set(halted["refusals"])) == (0, {"halted"})
