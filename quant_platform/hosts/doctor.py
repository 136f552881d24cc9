"""``quant doctor``: measure what the platform stands on, have it judged, print the verdicts."""

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path

import httpx
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.errors import CalendarError, QuantError
from quant_platform.domain.session import IST, covered, ist_time, session_on
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.home import HomeFolder, lock_holder
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import DoctorOptions
from quant_platform.hosts.token_life import stated_expiry
from quant_platform.kernel import cache_folder
from quant_platform.ports.ledger_store import HaltFlag
from quant_platform.protocol.upstox import paths
from quant_platform.services.system_doctor.servers import judge_servers
from quant_platform.services.system_doctor.verdict import Level, Probes, Verdict, is_broken, judge

NETWORK_TIMEOUT_S = 2.0
STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.BROKEN: "bold red"}


def run(options: DoctorOptions) -> bool:
    """Print a verdict for every part.

    Returns:
        Whether nothing is broken.

    Raises:
        ConfigurationError: a setting is unknown or ill-typed.
    """
    verdicts = verdicts_on(options)
    if options.json:
        lines = [verdict._asdict() | {"level": verdict.level.label} for verdict in verdicts]
        print_json({"broken": is_broken(verdicts), "verdicts": lines})
    else:
        _print(verdicts)
    return not is_broken(verdicts)


def verdicts_on(options: DoctorOptions, *, audit: bool = True) -> list[Verdict]:
    """A verdict for every part of this machine and, where the settings name any, of the servers and services.

    Args:
        options: home and settings.
        audit: read every audit chain of the distributed ledger, too.

    Raises:
        ConfigurationError: a setting is unknown or ill-typed.
    """
    from quant_platform.hosts import server_probes  # noqa: PLC0415 - its drivers take a second to load

    settings = load_settings(options.config)
    verdicts = judge(probe(options))
    if server_probes.has_servers(settings):
        verdicts += judge_servers(server_probes.probe_servers(settings, audit=audit))
    return verdicts


def probe(options: DoctorOptions, broker_url: str = paths.API_HOST) -> Probes:
    """Measure everything; what cannot be measured is reported, not raised.

    Raises:
        ConfigurationError: a setting is unknown or ill-typed.
    """
    settings = load_settings(options.config)
    home = HomeFolder(options.home or settings.paths.home)
    now = datetime.now(IST)
    kernels = cache_folder()
    holder = lock_holder(home)
    ledger_rows, ledger_error, halts = _ledger(home)
    token = settings.upstox.access_token
    return Probes(
        python=sys.version_info[:3],
        packages=_packages(),
        kernel_folder=str(kernels or ""),
        kernels=sum(1 for _ in kernels.rglob("*.nbi")) if kernels else 0,
        home=str(home.root),
        home_error=_write_error(home.root),
        disk_free_bytes=shutil.disk_usage(_nearest_folder(home.root)).free,
        holder_pid=holder.pid if holder else None,
        ledger_rows=ledger_rows,
        ledger_error=ledger_error,
        halts=halts,
        open_days=_open_days(home),
        today=now.date(),
        calendar_last=covered()[1],
        session=_session(now.date()),
        clock_drift_s=clock_drift_s(broker_url),
        now=now,
        has_token=token is not None,
        token_expires=stated_expiry(token.get_secret_value()) if token else None,
    )


def clock_drift_s(url: str) -> float | None:
    """Our clock less a server's, in seconds, good to about half a second; None where it cannot be reached."""
    before = time.time()
    try:
        reply = httpx.head(url, timeout=NETWORK_TIMEOUT_S)
        theirs = parsedate_to_datetime(reply.headers["Date"]).timestamp()
    except (httpx.HTTPError, OSError, KeyError, ValueError):
        return None
    return (before + time.time()) / 2 - (theirs + 0.5)


def _packages() -> dict[str, str | None]:
    """Version of every package our own metadata asks for on this system."""
    found: dict[str, str | None] = {}
    for requirement in metadata.requires("quant-platform") or ():
        match = re.match(r"[\w.-]+", requirement)
        if match is None or "extra ==" in requirement:
            continue
        try:
            found[match[0]] = metadata.version(match[0])
        except metadata.PackageNotFoundError:
            if ";" not in requirement:  # one with a condition may rightly be absent
                found[match[0]] = None
    return found


def _nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _write_error(home: Path) -> str:
    if home.exists() and not home.is_dir():
        return "it is no folder"
    nearest = _nearest_folder(home)
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} cannot be written"


def _ledger(home: HomeFolder) -> tuple[int | None, str, dict[str, HaltFlag]]:
    """Audit rows that hold, why they do not, and the halts in force."""
    if not home.ledger.is_file():
        return None, "", {}
    halts: dict[str, HaltFlag] = {}
    try:
        with LedgerDatabase(home.ledger) as ledger:
            halts |= {view.name: view.halt for view in ledger.portfolios() if view.halt.halted}
            return ledger.verify_audit(), "", halts
    except QuantError as error:
        return None, error.what, halts


def _open_days(home: HomeFolder) -> list[date]:
    """Days of which segments are still there, that is, which were not compacted."""
    named = {re.search(r"date=(\d{4}-\d{2}-\d{2})", str(path)) for path in home.ticks.rglob("segments/*.arrows")}
    return sorted({date.fromisoformat(match[1]) for match in named if match})


def _session(day: date) -> str:
    try:
        session = session_on(day)
    except CalendarError as error:
        return error.what
    if session is None:
        return "the exchange is closed"
    windows = [
        f"{ist_time(opens):%H:%M}–{ist_time(closes):%H:%M}" for opens, closes in session.windows(cas_eligible=True)
    ]
    return f"{session.name} session, {', '.join(windows)} IST"


def _print(verdicts: Sequence[Verdict]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("part", "verdict", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for part, level, what, cure in verdicts:
        table.add_row(part, Text(level.label, style=STYLES[level]), Text(what), Text(cure))
    Console(highlight=False).print(table)
