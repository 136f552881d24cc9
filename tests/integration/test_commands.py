"""``quant halt``, ``resume`` and ``squareoff`` in the ledger: who is meant, what is kept, and that it shows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import LedgerError, UsageError
from quant_platform.ports.ledger_store import HaltFlag
from tests.servers import Database

from .ledger_days import request, round_trips, tamper

NOW = datetime(2026, 8, 3, 4, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | Path]:
    if request.param == "sqlite":
        yield tmp_path / "ledger.sqlite"
    else:
        database: Database = request.getfixturevalue("database")
        yield database.url


def flags(ledger: SqlLedger) -> dict[str, HaltFlag]:
    return {view.name: view.halt for view in ledger.portfolios()}


def test_a_writer_finds_the_order_at_its_beginning_with_its_next_commit_and_by_looking(where: str | Path) -> None:
    with SqlLedger(where) as writer, SqlLedger(where) as owner:
        writer.begin(request())
        assert writer.halt == HaltFlag()
        blocks = round_trips()
        assert owner.command(Halt.NO_ENTRIES, "results today", "me", NOW) == ["main"]
        assert writer.halt == HaltFlag()
        writer.commit(next(blocks))
        assert writer.halt == HaltFlag(True, "results today")
        owner.command(Halt.NONE, "", "me", NOW)
        assert writer.look_for_halt() == writer.halt == HaltFlag()
        owner.command(Halt.OUT, "enough", "me", NOW, "main")
        with SqlLedger(where) as next_writer:
            next_writer.begin(request())
            assert next_writer.halt == HaltFlag(True, "enough", square_off=True)
            assert next_writer.halt.order is Halt.OUT


def test_an_order_is_for_every_portfolio_or_for_one_and_holds_over_runs(where: str | Path) -> None:
    with SqlLedger(where) as ledger:
        for name in ("main", "other", "third"):
            ledger.begin(request(portfolio=name))
            ledger.finish()
        assert ledger.command(Halt.NO_ENTRIES, "fog", "me", NOW) == ["main", "other", "third"]
        assert ledger.command(Halt.NONE, "", "me", NOW, "other") == ["other"]
        assert ledger.command(Halt.OUT, "storm", "me", NOW, "third") == ["third"]
        expected = {"main": HaltFlag(True, "fog"), "other": HaltFlag(), "third": HaltFlag(True, "storm", True)}
        assert flags(ledger) == expected
        ledger.begin(request(portfolio="main", fresh=True))
        ledger.reset("third")
        assert flags(ledger) == expected


def test_a_halt_leaves_a_square_off_in_force_that_nobody_may_have_seen_yet(where: str | Path) -> None:
    with SqlLedger(where) as ledger:
        ledger.begin(request())
        ledger.command(Halt.OUT, "storm", "me", NOW)
        ledger.command(Halt.NO_ENTRIES, "fog", "me", NOW)
        assert flags(ledger)["main"].order is Halt.OUT
        ledger.command(Halt.NONE, "", "me", NOW)
        assert flags(ledger)["main"].order is Halt.NONE


def test_a_portfolio_that_is_not_there_is_named(where: str | Path) -> None:
    with SqlLedger(where) as ledger:
        assert ledger.command(Halt.OUT, "storm", "me", NOW) == []
        with pytest.raises(UsageError, match="no portfolio 'mian'"):
            ledger.command(Halt.OUT, "storm", "me", NOW, "mian")


TAMPERED = [
    "UPDATE audit_log SET actor = 'you' WHERE chain = 'main/commands' AND seq = 1",
    "DELETE FROM audit_log WHERE chain = 'main/commands' AND seq = 2",
    "DELETE FROM audit_log WHERE chain = 'main/commands' AND seq = 1",
]


@pytest.mark.parametrize("statement", TAMPERED)
def test_who_ordered_what_is_in_the_audit_log_and_cannot_be_changed(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "ledger.sqlite"
    with SqlLedger(path) as ledger:
        ledger.begin(request())
        before = ledger.verify_audit()
        ledger.command(Halt.OUT, "storm", "me", NOW)
        ledger.command(Halt.NONE, "calm", "you", NOW)
        assert ledger.verify_audit() == before + 2
        tamper(path, statement)
        with pytest.raises(LedgerError, match="main/commands"):
            ledger.verify_audit()
