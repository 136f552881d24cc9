"""``quant backup``: the ledger as of one moment and the newest days' ticks, to a folder or a bucket."""

import gzip
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.adapters.ledger.tables import HEAD_REVISION
from quant_platform.domain.errors import UsageError
from quant_platform.hosts.backups import FORMAT, LEDGER, SERIES, TICKS, UNPACKED, Backup, BackupFile, Manifest, store_at
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed.ledger_connections import postgres_copies
from quant_platform.hosts.distributed.series_connections import series_reader
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import BackupOptions, UpMode
from quant_platform.hosts.series_files import newest_days, write_day

GZIP_LEVEL = 6
"""Of Python's own: a ledger shrinks to a sixth, and the next levels gain nothing but time."""


def run(options: BackupOptions) -> None:
    """Make one backup and tell its name; whoever writes ledger and ticks goes on meanwhile.

    Raises:
        UsageError: there is no ledger.
        LedgerError: it was changed from outside.
        UnavailableError: the ledger or the object store cannot be reached now.
    """
    settings = load_settings(options.config)
    home = HomeFolder(options.home or settings.paths.home)
    objects = store_at(options.to, settings, home)
    made_at = datetime.now(UTC)
    backup = Backup(objects, f"{made_at:%Y-%m-%dT%H%M%S}-{secrets.token_hex(2)}")
    with TemporaryDirectory(prefix="quant-backup-") as folder, open_ledger(options.mode, settings, home) as ledger:
        copy, packed = Path(folder) / UNPACKED, Path(folder) / LEDGER
        runs = ledger.copy_to(copy)
        with copy.open("rb") as source, gzip.open(packed, "wb", GZIP_LEVEL) as target:
            shutil.copyfileobj(source, target)
        files = [backup.put(LEDGER, packed)]
        if options.mode == "embedded":
            files += _put_ticks(backup, home.ticks, options.days, Path(folder) / "ticks")
        elif options.days:
            files += _put_series(backup, settings, ledger, options.days, Path(folder) / "ticks.parquet")
        backup.seal(Manifest(FORMAT, made_at, options.mode, HEAD_REVISION, runs, files))
    size = sum(file.size for file in files)
    if options.json:
        print_json({"backup": backup.name, "where": objects.where, "runs": runs, "files": len(files), "bytes": size})
    else:
        Console(highlight=False, soft_wrap=True).print(
            f"backup {backup.name} in {objects.where}: {len(runs)} runs, {len(files)} files, {size / 1e6:,.1f} MB"
        )


def open_ledger(mode: UpMode, settings: Settings, home: HomeFolder) -> LedgerCopies:
    """The ledger of the home, or the Postgres of the settings.

    Raises:
        UsageError: the home has none.
        ConfigurationError: the password is missing or wrong, or the schema is newer than the program.
        UnavailableError: it cannot be reached.
    """
    if mode == "distributed":
        return postgres_copies(settings)
    if not home.ledger.is_file():
        raise UsageError(
            f"there is no ledger in {home.root}", "name another --home, or --mode distributed for that of Postgres"
        )
    return LedgerCopies(home.ledger)


def _put_ticks(backup: Backup, ticks: Path, days: int, copy: Path) -> Iterator[BackupFile]:
    stored = sorted(ticks.glob("date=*"), reverse=True)
    for day in stored[:days]:
        for path in _files_of(day):
            try:
                shutil.copyfile(path, copy)  # a segment grows: what is sent must be what was hashed
            except FileNotFoundError:
                continue
            yield backup.put(f"{TICKS}/{path.relative_to(ticks).as_posix()}", copy)


def _put_series(
    backup: Backup, settings: Settings, ledger: LedgerCopies, days: int, file: Path
) -> Iterator[BackupFile]:
    symbols = ledger.closing_auction().keys()
    with closing(series_reader(settings)) as reader:
        for day in newest_days(reader, symbols, days):
            if write_day(reader, symbols, day, file):
                yield backup.put(f"{SERIES}/date={day}.parquet", file)


def _files_of(day: Path) -> Iterator[Path]:
    """Segments before the files they are compacted into: a row that moves meanwhile is in one of them at least."""
    yield from sorted(day.rglob("segments/*"))
    for path in sorted(day.rglob("*")):
        if path.is_file() and path.parent.name != "segments" and not path.name.startswith("."):
            yield path
