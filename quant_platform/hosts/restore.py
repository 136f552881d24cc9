"""``quant restore``: a backup brought back, whole and verified, or refused."""

import gzip
import shutil
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.domain.errors import DataError, SafetyError
from quant_platform.hosts.backups import LEDGER, SERIES, TICKS, UNPACKED, Backup, Manifest, backup_names, store_at
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed.ledger_connections import postgres_copies
from quant_platform.hosts.distributed.series_connections import series_writer
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import RestoreOptions
from quant_platform.hosts.series_files import read_day
from quant_platform.ports import series_store
from quant_platform.ports.object_store import ObjectStore


def run(options: RestoreOptions) -> None:
    """Bring one backup back, or tell which there are.

    Nothing is changed before every file was fetched and compared, and the ledger verified. The ledger is changed
    first, in one transaction; then each day's ticks come to their place: the home's files, or rows of QuestDB.

    Raises:
        UsageError: there is no such backup.
        DataError: it is torn, or a file of it is not what was written.
        SafetyError: something is there already, or a running platform holds the home folder.
        UnavailableError: the ledger or the object store cannot be reached now.
    """
    settings = load_settings(options.config)
    home = HomeFolder(options.home or settings.paths.home)
    objects = store_at(options.source, settings, home)
    if options.name is None:
        _tell_names(objects, options)
        return
    backup = Backup(objects, options.name)
    manifest = backup.manifest()
    with ExitStack() as stack:
        if options.mode == "embedded":
            stack.enter_context(HomeLock(home))
        beside = home.root if options.mode == "embedded" else None  # so that a day's folder is moved in one step
        folder = Path(stack.enter_context(TemporaryDirectory(prefix=".restore-", dir=beside)))
        backup.fetch(manifest, folder)
        with gzip.open(folder / LEDGER) as source, (folder / UNPACKED).open("wb") as target:
            shutil.copyfileobj(source, target)
        _verify(folder / UNPACKED, manifest, backup.name)
        if options.mode == "embedded":
            days = _into_home(folder, backup.name, home, replace=options.replace)
        else:
            days = _into_servers(folder, backup.name, settings, replace=options.replace)
    _tell(backup.name, manifest, days, options)


def _into_home(folder: Path, name: str, home: HomeFolder, *, replace: bool) -> list[str]:
    days = sorted((folder / TICKS).glob("date=*"))
    if not replace:
        _refuse_what_is_there(days, home)
    with LedgerCopies(home.ledger) as ledger:
        ledger.become(folder / UNPACKED, name, datetime.now(UTC), replace=replace)
    _move(days, home.ticks, folder / "given-up")
    return [day.name.removeprefix("date=") for day in days]


def _into_servers(folder: Path, name: str, settings: Settings, *, replace: bool) -> list[str]:
    files = sorted((folder / SERIES).glob("date=*.parquet"))
    with closing(series_writer(settings)) as writer:
        if files:
            writer.prepare()  # before the ledger is changed: a store that is away would come too late
        with postgres_copies(settings) as ledger:
            ledger.become(folder / UNPACKED, name, datetime.now(UTC), replace=replace)
        for file in files:
            for rows in read_day(file):
                writer.append(series_store.TICKS, rows)
                writer.flush()
    return [file.stem.removeprefix("date=") for file in files]


def _verify(ledger: Path, manifest: Manifest, name: str) -> None:
    with LedgerCopies(ledger) as copy:
        if copy.verified() != manifest.runs:
            raise DataError(f"the runs of backup {name} are not those of its manifest", "take another backup")


def _refuse_what_is_there(days: list[Path], home: HomeFolder) -> None:
    for day in days:
        if (home.ticks / day.name).exists():
            raise SafetyError(
                f"ticks of {day.name.removeprefix('date=')} are stored in {home.root}",
                "restore into another --home, or give these up with --replace",
            )


def _move(days: list[Path], ticks: Path, given_up: Path) -> None:
    ticks.mkdir(parents=True, exist_ok=True)
    given_up.mkdir()
    for day in days:
        if (ticks / day.name).exists():
            (ticks / day.name).rename(given_up / day.name)
        day.rename(ticks / day.name)


def _tell_names(objects: ObjectStore, options: RestoreOptions) -> None:
    names = backup_names(objects)
    if options.json:
        print_json({"where": objects.where, "backups": names})
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print("\n".join(names) if names else f"there are no backups in {objects.where}")


def _tell(name: str, manifest: Manifest, days: list[str], options: RestoreOptions) -> None:
    if options.json:
        print_json({"backup": name, "made_at": manifest.made_at, "runs": manifest.runs, "days": days})
    else:
        Console(highlight=False, soft_wrap=True).print(
            f"restored backup {name}: {len(manifest.runs)} runs, ticks of {', '.join(days) or 'no day'}"
        )
