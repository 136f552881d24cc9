"""``quant backup`` and ``quant restore``: a ledger whole, verified and fenced, on files and on Postgres."""

import json
import threading
import time as wall
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import select

from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.tables import audit_log
from quant_platform.domain.errors import FencedError
from quant_platform.hosts.home import HomeFolder, HomeLock
from tests.servers import Database, PostgresServer, database_on

from .backup_rig import OFFSETS, Ledger, another, blocks, fill, filled_home, in_home, quant, refused
from .ledger_days import request, tamper

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Ledger]:
    def make(kind: str, name: str) -> Ledger:
        if kind == "sqlite":
            return in_home(tmp_path / name)
        database: Database = request.getfixturevalue(name)
        return Ledger(database.url, ["--mode", "distributed"], database.environment)

    return make


@pytest.fixture
def source(database: Database) -> Database:
    return database


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[Database]:
    """Another empty database."""
    with database_on(postgres) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Ledger:
    return filled_home(tmp_path)


@pytest.mark.parametrize("end", ["sqlite", "postgres"])
@pytest.mark.parametrize("start", ["sqlite", "postgres"])
def test_a_ledger_comes_back_row_by_row_and_goes_on(
    start: str,
    end: str,
    place_of: Callable[[str, str], Ledger],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, target = place_of(start, "source"), place_of(end, "target")
    fill(source.where)
    made = quant(capsys, source, "backup", "--to", "disk", "--days", "0")
    back = quant(capsys, target, "restore", made["backup"], "--from", "disk")
    assert back["runs"] == made["runs"]
    assert list(made["runs"]) == ["main-0001"]
    assert target.rows() == source.rows()
    assert target.epoch() > source.epoch()
    with SqlLedger(target.where) as ledger:
        begun = ledger.begin(request())
        assert (begun.run_id, begun.state, begun.offsets) == ("main-0001", b"cores", OFFSETS)
        ledger.commit(next(islice(blocks(), 3, None)))
        assert ledger.finish().fills == 4
        assert ledger.publish(lambda rows: None) == 4
        assert ledger.verify_audit() > 0


def test_a_backup_is_of_one_moment_while_a_runtime_writes(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = threading.Event()

    def write(where: str | Path) -> None:
        with SqlLedger(where) as ledger:
            ledger.begin(request())
            for block in blocks():
                ledger.commit(block)
                if stop.is_set():
                    return

    for where in (tmp_path / "ledger.sqlite", database.url):
        SqlLedger(where).close()
        stop.clear()
        writer = threading.Thread(target=write, args=(where,))
        writer.start()
        try:
            with LedgerCopies(where) as ledger:
                while not ledger.orders():
                    wall.sleep(0.01)
                for number in range(3):
                    copy = tmp_path / f"copy-{number}-{writer.native_id}"
                    assert list(ledger.copy_to(copy)) == ["main-0001"], "it is verified where it arrives"
        finally:
            stop.set()
            writer.join()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_who_wrote_before_is_fenced_off(
    kind: str, place_of: Callable[[str, str], Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    place = place_of(kind, "source")
    fill(place.where)
    made = quant(capsys, place, "backup", "--to", "disk", "--days", "0")
    with SqlLedger(place.where) as old:
        for _ in range(5):
            old.begin(request())  # it came to a higher epoch than the backup's
        quant(capsys, place, "restore", made["backup"], "--from", "disk", "--replace")
        with pytest.raises(FencedError):
            old.commit(next(islice(blocks(), 3, None)))


def test_a_ledger_that_is_not_empty_is_kept_unless_told(
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    with SqlLedger(home.where) as ledger:
        ledger.begin(request(portfolio="second"))
    before = home.rows()
    code, said = refused(capsys, home, "restore", made["backup"], "--from", "disk")
    assert (code, "it has portfolio main, second" in said, "--replace" in said) == (3, True, True)
    assert home.rows() == before
    quant(capsys, home, "restore", made["backup"], "--from", "disk", "--replace")
    with SqlLedger(home.where) as ledger:
        assert [view.name for view in ledger.portfolios()] == ["main"]


def test_a_restore_stands_in_the_audit_log(home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    other = another(tmp_path)
    quant(capsys, other, "restore", made["backup"], "--from", "disk")
    with SqlLedger(other.where) as ledger, ledger._reading() as connection:
        last = connection.execute(select(audit_log).order_by(audit_log.c.seq.desc()).limit(1)).one()
    assert (last.actor, last.what, json.loads(last.after)) == (
        "restore",
        "ledger restored",
        {"backup": made["backup"]},
    )


def test_a_home_in_use_is_not_restored_into(home: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    with HomeLock(HomeFolder(Path("home"))):
        code, said = refused(capsys, home, "restore", made["backup"], "--from", "disk", "--replace")
    assert (code, "is in use" in said) == (3, True)


def test_a_ledger_that_was_changed_from_outside_is_not_backed_up(
    home: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(Path(home.where), "UPDATE executed_orders SET pnl = '99.00' WHERE seq = 2")
    code, said = refused(capsys, home, "backup", "--to", "disk")
    assert (code, "executed order main-0001-000002 is not what was written" in said) == (1, True)
    assert quant(capsys, home, "restore", "--from", "disk")["backups"] == []
