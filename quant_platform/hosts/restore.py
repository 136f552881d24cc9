"""``quant restore``: a backup brought back, whole and verified, or refused."""

import gzip
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.domain.errors import DataError, SafetyError
from quant_platform.hosts.backups import LEDGER, TICKS, Backup, Manifest, backup_names, store_at
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.distributed.connections import postgres_url
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import RestoreOptions
from quant_platform.ports.object_store import ObjectStore


def run(options: RestoreOptions) -> None:
    """Bring one backup back, or tell which there are.

    Nothing is changed before every file was fetched and compared, and the ledger verified. The ledger is changed
    first, in one transaction; then each day's ticks are moved into their place.

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
        copy = folder / "ledger.sqlite"
        with gzip.open(folder / LEDGER) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        _verify(copy, manifest, backup.name)
        days = sorted((folder / TICKS).glob("date=*")) if options.mode == "embedded" else []
        if not options.replace:
            _refuse_what_is_there(days, home)
        where = home.ledger if options.mode == "embedded" else postgres_url(settings)
        with LedgerCopies(where) as ledger:
            ledger.become(copy, backup.name, datetime.now(UTC), replace=options.replace)
        _move(days, home.ticks, folder / "given-up")
    _tell(backup.name, manifest, days, options)


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


def _tell(name: str, manifest: Manifest, days: list[Path], options: RestoreOptions) -> None:
    dates = [day.name.removeprefix("date=") for day in days]
    if options.json:
        print_json({"backup": name, "made_at": manifest.made_at, "runs": manifest.runs, "days": dates})
    else:
        Console(highlight=False, soft_wrap=True).print(
            f"restored backup {name}: {len(manifest.runs)} runs, ticks of {', '.join(dates) or 'no day'}"
        )
