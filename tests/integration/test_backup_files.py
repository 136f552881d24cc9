"""``quant backup`` and ``quant restore``: whole and unchanged files, ticks of a home and of QuestDB, and S3."""

import gzip
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from quant_platform.adapters.ledger.schema import MIGRATIONS
from quant_platform.adapters.objects.obstore import Objects
from quant_platform.adapters.ticks.series_rows import rows_of
from quant_platform.domain.errors import UsageError
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_DAY
from quant_platform.hosts.backups import Backup, Manifest
from quant_platform.ports.series_store import TICKS, Place
from tests.series import plain, reader_of, writer_of
from tests.servers import Database, QuestdbServer, RealServer

from .backup_rig import DAY, Ledger, another, fill, filled_home, quant, refused
from .ledger_days import tamper

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def home(tmp_path: Path) -> Ledger:
    return filled_home(tmp_path)


# The files of a backup.


def test_a_changed_byte_is_refused_by_the_name_of_its_file(
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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


def test_a_torn_backup_is_refused_by_name(home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def resealed(disk: Path, name: str, change: Callable[[Path], Path]) -> str:
    """A sound backup whose ledger file was changed before it was written."""
    backup = Backup(Objects.in_folder(disk), name)
    ledger = disk / "ledger.sqlite"
    ledger.write_bytes(gzip.decompress((disk / "backups" / name / "ledger.sqlite.gz").read_bytes()))
    (disk / "packed").write_bytes(gzip.compress(change(ledger).read_bytes()))
    other, manifest = Backup(Objects.in_folder(disk), "other"), backup.manifest()
    file = other.put("ledger.sqlite.gz", disk / "packed")
    other.seal(Manifest(1, manifest.made_at, "embedded", "?", manifest.runs, [file]))
    return other.name


def test_a_backup_of_a_newer_schema_is_refused(
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def age(ledger: Path) -> Path:
        tamper(ledger, "UPDATE alembic_version SET version_num = '9999'")
        return ledger

    made = quant(capsys, home, "backup", "--to", "disk")
    newer = resealed(tmp_path / "disk", made["backup"], age)
    code, said = refused(capsys, another(tmp_path), "restore", newer, "--from", "disk")
    assert (code, "has schema 9999" in said, "upgrade quant-platform" in said) == (2, True, True)


def test_a_backup_of_the_first_release_is_brought_to_this_schema(
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def as_first_released(ledger: Path) -> Path:
        old = ledger.with_name("old.sqlite")
        engine = create_engine(f"sqlite:///{old}")
        with engine.begin() as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", MIGRATIONS.as_posix())
            command.upgrade(config, "0001")
        engine.dispose()
        with closing(sqlite3.connect(old)) as raw, raw:
            raw.execute("ATTACH ? AS filled", [str(ledger)])
            for (table,) in raw.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
                columns = ", ".join(f'"{row[1]}"' for row in raw.execute(f"PRAGMA main.table_info({table})"))
                if table != "alembic_version":
                    raw.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM filled.{table}")
        return old

    made = quant(capsys, home, "backup", "--to", "disk")
    old = resealed(tmp_path / "disk", made["backup"], as_first_released)
    back = quant(capsys, another(tmp_path), "restore", old, "--from", "disk")
    assert back["runs"] == made["runs"]
    assert another(tmp_path).rows() == home.rows()


def test_two_backups_of_one_name_are_not_mixed(
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    home: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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


def test_the_newest_days_of_questdb_come_back_row_by_row(
    database: Database, empty_questdb: QuestdbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    questdb = empty_questdb
    settings = questdb.settings
    morning = ns_at(date(2026, 7, 31), time(9, 15))
    older, newer, newest = (
        rows_of(
            TICKS,
            [(at + n, symbol, n + 1, 100.05, 10 * n, None, 55.5, -0.25, None, 0.05, "B", n) for n in range(3)],
        )
        for at, symbol in ((morning - NS_PER_DAY, "NSE_EQ:TCS"), (morning, "NSE_EQ:TCS"), (morning + 9, "NSE_EQ:INFY"))
    )
    with closing(writer_of(settings)) as writer, closing(reader_of(settings)) as reader:
        for rows in (older, newer, newest):
            writer.append(TICKS, rows)
        writer.flush()
        reader.wait_until_visible(60)

    def stored() -> list[Any]:
        with closing(reader_of(settings)) as reader:
            reader.wait_until_visible(60)
            symbols = ("NSE_EQ:INFY", "NSE_EQ:TCS")
            return [
                plain(TICKS, reader.between(TICKS, symbol, Place(1), morning + NS_PER_DAY, 100)) for symbol in symbols
            ]

    place = Ledger(database.url, ["--mode", "distributed"], database.environment | questdb.environment)
    fill(place.where, ("NSE_EQ:TCS", "NSE_EQ:INFY"))
    made = quant(capsys, place, "backup", "--to", "disk")
    everything = stored()
    questdb.clear()
    away = Ledger(database.url, place.flags, place.environment | {"QUESTDB_HTTP_URL": "http://127.0.0.1:9"})
    before = place.rows(), place.epoch()
    code, _ = refused(capsys, away, "restore", made["backup"], "--from", "disk", "--replace")
    assert (code, (place.rows(), place.epoch())) == (1, before)
    back = quant(capsys, place, "restore", made["backup"], "--from", "disk", "--replace")
    assert back["days"] == ["2026-07-31"]
    assert stored() == [plain(TICKS, newest), plain(TICKS, newer)]
    with closing(writer_of(settings)) as writer:
        writer.append(TICKS, older)
        writer.flush()
    both = quant(capsys, place, "backup", "--to", "disk2", "--days", "2")
    questdb.clear()
    quant(capsys, place, "restore", both["backup"], "--from", "disk2", "--replace")
    assert stored() == everything


def test_a_backup_goes_to_the_bucket_of_the_settings(
    home: Ledger, tmp_path: Path, s3: RealServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
