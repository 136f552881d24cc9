"""``quant backup`` and ``quant restore``: whole, verified, fenced, on files, on Postgres and on S3."""

import gzip
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from quant_platform import cli
from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.tables import audit_log, metadata, portfolios, runtime_state
from quant_platform.adapters.objects.obstore import Objects
from quant_platform.domain.errors import FencedError, UsageError
from quant_platform.domain.instruments import Instrument
from quant_platform.hosts.backups import Backup, Manifest
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.ports.ledger_store import LedgerBlock, OutboxRow
from quant_platform.ports.ledger_views import ScanPick
from tests.servers import Database, PostgresServer, RealServer, database_on

from .ledger_days import OPEN, request, round_trips, tamper

DAY = "date=2026-07-31"
OFFSETS = {("market.enriched.ticks", 0): 17, ("market.enriched.ticks", 1): 4}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("QUANT_", "UPSTOX_")) and name != "QUANT_KERNEL_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Place:
    """A ledger that can be backed up and restored into, and the flags that name it."""

    def __init__(self, where: str | Path, flags: list[str], environment: Mapping[str, str]) -> None:
        self.where = where
        self.flags = flags
        self.environment = environment

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table, but for what a restore has to change."""
        with SqlLedger(self.where) as ledger, ledger._reading() as connection:
            tables = metadata.sorted_tables
            found = {table.name: list(map(tuple, connection.execute(select(table)))) for table in tables}
        found[runtime_state.name] = [(row[0], *row[2:]) for row in found[runtime_state.name]]
        found[portfolios.name] = [(*row[:6], row[8]) for row in found[portfolios.name]]
        what = audit_log.c.keys().index("what")
        found[audit_log.name] = [row for row in found[audit_log.name] if row[what] != "ledger restored"]
        return {name: sorted(rows, key=repr) for name, rows in found.items()}

    def epoch(self) -> int:
        with SqlLedger(self.where) as ledger, ledger._reading() as connection:
            return connection.scalars(select(runtime_state.c.epoch)).one()


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Place]:
    def make(kind: str, name: str) -> Place:
        if kind == "sqlite":
            home = tmp_path / name
            return Place(HomeFolder(home).ledger, ["--home", str(home)], {})
        database: Database = request.getfixturevalue(name)
        return Place(database.url, ["--mode", "distributed"], database.environment)

    return make


@pytest.fixture
def source(database: Database) -> Database:
    return database


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[Database]:
    """Another empty database."""
    with database_on(postgres) as found:
        yield found


def quant(capsys: pytest.CaptureFixture[str], place: Place, *arguments: str) -> dict[str, Any]:
    """What a command answers in JSON; it must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        assert cli.run_command([*arguments, *place.flags, "--json"]) == 0, capsys.readouterr().err
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def refused(capsys: pytest.CaptureFixture[str], place: Place, *arguments: str) -> tuple[int, str]:
    """Exit code and what is said."""
    code = cli.run_command([*arguments, *place.flags])
    return code, capsys.readouterr().err


def blocks() -> Iterator[LedgerBlock]:
    """As a distributed runtime commits them."""
    for block in round_trips():
        yield replace(block, offsets=OFFSETS, outbox=[OutboxRow("orders.events", "NSE_EQ:TCS", b'{"what":"filled"}')])


def fill(where: str | Path) -> None:
    """A run cut short after three fills, and all the tables beside it."""
    with SqlLedger(where) as ledger:
        ledger.begin(request())
        for block in islice(blocks(), 3):
            ledger.commit(block)
        ledger.save_scan(OPEN, [ScanPick("NSE_EQ:TCS", 12.5, 3100_05, 900)])
        ledger.save_instruments(
            [Instrument("NSE_EQ:TCS", "NSE_EQ|INE467B01029", "INE467B01029", "TCS", "IT", 5, 1, True, 3000_00)]
        )


@pytest.fixture
def home(tmp_path: Path) -> Place:
    """A home with a ledger."""
    place = Place(tmp_path / "home" / "ledger.sqlite", ["--home", str(tmp_path / "home")], {})
    fill(place.where)
    return place


def another(tmp_path: Path) -> Place:
    return Place(tmp_path / "other" / "ledger.sqlite", ["--home", str(tmp_path / "other")], {})


# The ledger.


@pytest.mark.parametrize("end", ["sqlite", "postgres"])
@pytest.mark.parametrize("start", ["sqlite", "postgres"])
def test_a_ledger_comes_back_row_by_row_and_goes_on(
    start: str,
    end: str,
    place_of: Callable[[str, str], Place],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, target = place_of(start, "source"), place_of(end, "target")
    fill(source.where)
    made = quant(capsys, source, "backup", "--to", str(tmp_path / "disk"))
    back = quant(capsys, target, "restore", made["backup"], "--from", str(tmp_path / "disk"))
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
                    time.sleep(0.01)
                for number in range(3):
                    copy = tmp_path / f"copy-{number}-{writer.native_id}"
                    assert list(ledger.copy_to(copy)) == ["main-0001"], "it is verified where it arrives"
        finally:
            stop.set()
            writer.join()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_who_wrote_before_is_fenced_off(
    kind: str, place_of: Callable[[str, str], Place], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = place_of(kind, "source")
    fill(place.where)
    made = quant(capsys, place, "backup", "--to", str(tmp_path / "disk"))
    with SqlLedger(place.where) as old:
        for _ in range(5):
            old.begin(request())  # it came to a higher epoch than the backup's
        quant(capsys, place, "restore", made["backup"], "--from", str(tmp_path / "disk"), "--replace")
        with pytest.raises(FencedError):
            old.commit(next(islice(blocks(), 3, None)))


def test_a_ledger_that_is_not_empty_is_kept_unless_told(
    home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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


def test_a_restore_stands_in_the_audit_log(home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_home_in_use_is_not_restored_into(home: Place, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    with HomeLock(HomeFolder(Path("home"))):
        code, said = refused(capsys, home, "restore", made["backup"], "--from", "disk", "--replace")
    assert (code, "is in use" in said) == (3, True)


def test_a_ledger_that_was_changed_from_outside_is_not_backed_up(
    home: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(Path(home.where), "UPDATE executed_orders SET pnl = '99.00' WHERE seq = 2")
    code, said = refused(capsys, home, "backup", "--to", "disk")
    assert (code, "executed order main-0001-000002 is not what was written" in said) == (1, True)
    assert quant(capsys, home, "restore", "--from", "disk")["backups"] == []


# The files of a backup.


def test_a_changed_byte_is_refused_by_the_name_of_its_file(
    home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_ticks(tmp_path / "home")
    made = quant(capsys, home, "backup", "--to", "disk")
    folder = tmp_path / "disk" / "backups" / made["backup"]
    other = another(tmp_path)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) == 4
    for path in files:
        sound = path.read_bytes()
        for place in (0, len(sound) // 2, len(sound) - 1):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            code, said = refused(capsys, other, "restore", made["backup"], "--from", "disk")
            assert (code, f"{path.relative_to(folder)} of backup {made['backup']}" in said) == (2, True), said
        path.write_bytes(sound)
    assert not Path(other.where).exists()
    assert quant(capsys, other, "restore", made["backup"], "--from", "disk")["backup"] == made["backup"]


def test_a_torn_backup_is_refused_by_name(home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    folder = tmp_path / "disk" / "backups" / made["backup"]
    shutil.move(folder / "manifest.json", tmp_path / "manifest.json")
    assert quant(capsys, home, "restore", "--from", "disk")["backups"] == []
    code, said = refused(capsys, another(tmp_path), "restore", made["backup"], "--from", "disk")
    assert (code, f"backup {made['backup']} in folder" in said, "is torn" in said) == (2, True, True)
    shutil.move(tmp_path / "manifest.json", folder / "manifest.json")
    (folder / "ledger.sqlite.gz").unlink()
    code, said = refused(capsys, another(tmp_path), "restore", made["backup"], "--from", "disk")
    assert (code, "there is no object" in said, "ledger.sqlite.gz" in said) == (2, True, True)
    code, said = refused(capsys, another(tmp_path), "restore", "2020-01-01T000000Z", "--from", "disk")
    assert (code, "there is no backup 2020-01-01T000000Z" in said) == (2, True)


def test_a_backup_of_a_newer_schema_is_refused(home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    backup = Backup(Objects.in_folder(tmp_path / "disk"), made["backup"])
    manifest = backup.manifest()
    (tmp_path / "newer").write_bytes(
        gzip.decompress((tmp_path / "disk" / "backups" / made["backup"] / "ledger.sqlite.gz").read_bytes())
    )
    tamper(tmp_path / "newer", "UPDATE alembic_version SET version_num = '9999'")
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "newer").read_bytes()))
    newer = Backup(Objects.in_folder(tmp_path / "disk"), "newer")
    file = newer.put("ledger.sqlite.gz", tmp_path / "packed")
    newer.seal(Manifest(1, manifest.made_at, "embedded", "9999", manifest.runs, [file]))
    code, said = refused(capsys, another(tmp_path), "restore", "newer", "--from", "disk")
    assert (code, "has schema 9999" in said, "upgrade quant-platform" in said) == (2, True, True)


def test_two_backups_of_one_name_are_not_mixed(home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = quant(capsys, home, "backup", "--to", "disk")
    backup = Backup(Objects.in_folder(tmp_path / "disk"), made["backup"])
    with pytest.raises(UsageError, match=f"there is a backup {backup.name}"):
        backup.seal(backup.manifest())


# Ticks.


def store_ticks(home: Path) -> dict[str, bytes]:
    """Two days, as files of any content; returns those of the newer."""
    newer = {"ticks.parquet": b"closed", "segments/000001.arrows": b"growing"}
    for day, files in (("date=2026-07-30", {"ticks.parquet": b"older"}), (DAY, newer)):
        for name, content in files.items():
            path = home / "ticks" / day / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return newer


def ticks_in(home: Path) -> dict[str, bytes]:
    ticks = home / "ticks"
    return {path.relative_to(ticks).as_posix(): path.read_bytes() for path in ticks.rglob("*") if path.is_file()}


def test_the_newest_days_come_back_file_by_file(
    home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = store_ticks(tmp_path / "home")
    made = quant(capsys, home, "backup", "--to", "disk")
    quant(capsys, another(tmp_path), "restore", made["backup"], "--from", "disk")
    assert ticks_in(tmp_path / "other") == {f"{DAY}/{name}": content for name, content in newer.items()}
    both = quant(capsys, home, "backup", "--to", "disk2", "--days", "2")
    quant(capsys, another(tmp_path), "restore", both["backup"], "--from", "disk2", "--replace")
    assert ticks_in(tmp_path / "other") == ticks_in(tmp_path / "home")
    none = quant(capsys, home, "backup", "--to", "disk3", "--days", "0")
    assert none["files"] == 1


def test_a_day_that_is_stored_is_kept_unless_told(
    home: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_ticks(tmp_path / "home")
    made = quant(capsys, home, "backup", "--to", "disk")
    mine = tmp_path / "other" / "ticks" / DAY / "segments" / "000002.arrows"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    code, said = refused(capsys, another(tmp_path), "restore", made["backup"], "--from", "disk")
    assert (code, "ticks of 2026-07-31 are stored" in said) == (3, True)
    assert not (tmp_path / "other" / "ledger.sqlite").exists()
    assert ticks_in(tmp_path / "other") == {f"{DAY}/segments/000002.arrows": b"mine"}
    quant(capsys, another(tmp_path), "restore", made["backup"], "--from", "disk", "--replace")
    assert f"{DAY}/segments/000002.arrows" not in ticks_in(tmp_path / "other")


def test_a_backup_goes_to_the_bucket_of_the_settings(
    home: Place, tmp_path: Path, s3: RealServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.start()
    for name, value in (s3.environment | {"S3_BUCKET": "test-backups"}).items():
        monkeypatch.setenv(name, value)
    store_ticks(tmp_path / "home")
    made = quant(capsys, home, "backup")
    assert made["where"].startswith("bucket test-backups at http://127.0.0.1")
    other = another(tmp_path)
    assert made["backup"] in quant(capsys, other, "restore")["backups"]
    quant(capsys, other, "restore", made["backup"])
    assert other.rows() == home.rows()
