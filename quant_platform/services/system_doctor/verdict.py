"""What the probes found, judged: a level, a sentence and a cure for every part of the platform."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from quant_platform.ports.ledger_store import HaltFlag

OLDEST_PYTHON = (3, 11)
LITTLE_DISK_BYTES = 2 * 10**9
NO_DISK_BYTES = 200 * 10**6
CALENDAR_AHEAD = timedelta(days=30)
DRIFT_WARNING_S = 2.0
DRIFT_BROKEN_S = 5.0
"""From here on ticks of a clock that is right would be set aside as implausible."""


class Level(IntEnum):
    """How bad it is; only ``BROKEN`` makes the doctor's exit code 1."""

    OK = 0
    NOTE = 1
    WARNING = 2
    BROKEN = 3

    @property
    def label(self) -> str:
        """As printed: ``warning``."""
        return self.name.lower()


class Verdict(NamedTuple):
    """One line of the doctor's answer."""

    part: str  # what was looked at
    level: Level
    what: str  # what was found
    cure: str  # what to do; empty where nothing needs doing


@dataclass(frozen=True, slots=True)
class Probes:
    """What was measured; a ``…_error`` says why something could not be.

    Attributes:
        python: version as (major, minor, micro).
        packages: version of every package that the platform needs, None where it is missing.
        kernel_folder: where compiled kernels are kept, empty where nothing is writable.
        kernels: how many are compiled there.
        home: the folder of ledger and ticks.
        home_error: why it cannot be written; empty where it can.
        disk_free_bytes: where the home folder is, or would be.
        holder_pid: the running platform's process, None where none runs.
        ledger_rows: audit rows whose chain holds; None where there is no ledger yet.
        ledger_error: why the ledger cannot be trusted or read.
        halts: portfolio → its halt flag, of those that are halted.
        open_days: days of stored ticks that were never closed into one file.
        today: IST date.
        calendar_last: the last date that the exchange calendar covers.
        session: today's session in words.
        clock_drift_s: our clock less the broker's, None where it could not be reached.
        now: with time zone.
        has_token: whether an Upstox access token is set.
        token_expires: when it dies, None where the token does not say.
    """

    python: tuple[int, int, int]
    packages: Mapping[str, str | None]
    kernel_folder: str
    kernels: int
    home: str
    home_error: str
    disk_free_bytes: int
    holder_pid: int | None
    ledger_rows: int | None
    ledger_error: str
    halts: Mapping[str, HaltFlag]
    open_days: Sequence[date]
    today: date
    calendar_last: date
    session: str
    clock_drift_s: float | None
    now: datetime
    has_token: bool
    token_expires: datetime | None


def judge(probes: Probes) -> list[Verdict]:
    """A verdict for every part, in the order of printing."""
    return [check(probes) for check in _CHECKS]


def is_broken(verdicts: Sequence[Verdict]) -> bool:
    """Whether anything keeps the platform from working."""
    return any(verdict.level is Level.BROKEN for verdict in verdicts)


def _python(probes: Probes) -> Verdict:
    version = ".".join(map(str, probes.python))
    if probes.python[:2] < OLDEST_PYTHON:
        return Verdict("python", Level.BROKEN, f"{version} is too old", "install Python 3.11 or newer")
    return Verdict("python", Level.OK, version, "")


def _packages(probes: Probes) -> Verdict:
    missing = sorted(name for name, version in probes.packages.items() if version is None)
    if missing:
        return Verdict("packages", Level.BROKEN, f"missing: {', '.join(missing)}", "run `uv sync`")
    return Verdict("packages", Level.OK, f"all {len(probes.packages)} installed", "")


def _kernels(probes: Probes) -> Verdict:
    if not probes.kernel_folder:
        cure = "set QUANT_KERNEL_CACHE to a folder that only you can write"
        return Verdict("kernels", Level.WARNING, "compiled anew at every start: no folder to keep them", cure)
    if not probes.kernels:
        cure = "the first run compiles them, once"
        return Verdict("kernels", Level.NOTE, f"none compiled yet in {probes.kernel_folder}", cure)
    return Verdict("kernels", Level.OK, f"{probes.kernels} compiled in {probes.kernel_folder}", "")


def _home(probes: Probes) -> Verdict:
    if probes.home_error:
        cure = "correct its permissions, or choose another --home"
        return Verdict("home", Level.BROKEN, f"{probes.home}: {probes.home_error}", cure)
    return Verdict("home", Level.OK, f"{probes.home} is writable", "")


def _disk(probes: Probes) -> Verdict:
    free = f"{probes.disk_free_bytes / 1e9:.1f} GB free"
    cure = "a day of ticks needs up to 1 GB: make room, or move the home folder"
    if probes.disk_free_bytes < NO_DISK_BYTES:
        return Verdict("disk", Level.BROKEN, free, cure)
    if probes.disk_free_bytes < LITTLE_DISK_BYTES:
        return Verdict("disk", Level.WARNING, free, cure)
    return Verdict("disk", Level.OK, free, "")


def _lock(probes: Probes) -> Verdict:
    if probes.holder_pid is None:
        return Verdict("platform", Level.OK, "not running on this home", "")
    return Verdict("platform", Level.OK, f"running as process {probes.holder_pid}", "")


def _ledger(probes: Probes) -> Verdict:
    if probes.ledger_error:
        return Verdict("ledger", Level.BROKEN, probes.ledger_error, "keep the file as it is and restore a backup")
    if probes.ledger_rows is None:
        return Verdict("ledger", Level.NOTE, "none yet", "`quant up` makes one")
    return Verdict("ledger", Level.OK, f"its audit chain of {probes.ledger_rows:,} rows holds", "")


def _halts(probes: Probes) -> Verdict:
    return judge_halts("halts", probes.halts, "")


def judge_halts(part: str, halts: Mapping[str, HaltFlag], option: str) -> Verdict:
    """Which portfolios are not to trade, and why: whoever wonders about it looks here.

    Args:
        part: as printed.
        halts: portfolio → its halt flag, of those that are halted.
        option: of the command that ends a halt, behind the portfolio's; empty for none.
    """
    if not halts:
        return Verdict(part, Level.OK, "no portfolio is halted", "")
    found = (
        f"{name} is {flag.order.label}" + (f": {flag.reason}" if flag.reason else "") for name, flag in halts.items()
    )
    command = f"quant resume --portfolio {min(halts)} {option}".rstrip()
    return Verdict(part, Level.NOTE, "; ".join(found), f"`{command}` lets it trade again")


def _ticks(probes: Probes) -> Verdict:
    if not probes.open_days:
        return Verdict("ticks", Level.OK, "every stored day is closed", "")
    days = ", ".join(map(str, probes.open_days[:5])) + (", …" if len(probes.open_days) > 5 else "")
    if probes.holder_pid is not None:
        return Verdict("ticks", Level.OK, f"being written: {days}", "")
    return Verdict("ticks", Level.NOTE, f"not closed: {days}", "the next `quant up` closes them; nothing is lost")


def _calendar(probes: Probes) -> Verdict:
    cure = "update Quant Platform for a newer calendar"
    until = f"the exchange calendar ends on {probes.calendar_last}"
    if probes.today > probes.calendar_last:
        return Verdict("calendar", Level.BROKEN, until, cure)
    if probes.today + CALENDAR_AHEAD > probes.calendar_last:
        return Verdict("calendar", Level.WARNING, f"{until}; today: {probes.session}", cure)
    return Verdict("calendar", Level.OK, f"{probes.today}: {probes.session}", "")


def _clock(probes: Probes) -> Verdict:
    if probes.clock_drift_s is None:
        return Verdict("clock", Level.NOTE, "not measured: Upstox cannot be reached", "")
    return judge_drift("clock", probes.clock_drift_s, "Upstox")


def judge_drift(part: str, drift_s: float, against: str) -> Verdict:
    """How far our clock is from another one.

    Args:
        part: as printed.
        drift_s: our clock less theirs, in seconds.
        against: whose clock that is.
    """
    drift = f"{drift_s:+.1f} s against {against}"
    cure = "let the system set its clock by network time (timedatectl set-ntp true)"
    if abs(drift_s) >= DRIFT_BROKEN_S:
        return Verdict(part, Level.BROKEN, drift, cure)
    if abs(drift_s) >= DRIFT_WARNING_S:
        return Verdict(part, Level.WARNING, drift, cure)
    return Verdict(part, Level.OK, drift, "")


def _token(probes: Probes) -> Verdict:
    cure = "run `quant login`; it is needed for --source upstox only"
    if not probes.has_token:
        return Verdict("token", Level.NOTE, "no Upstox access token", cure)
    if probes.token_expires is None:
        return Verdict("token", Level.NOTE, "set; it does not say when it expires (usually 03:30 IST)", "")
    when = f"{probes.token_expires:%Y-%m-%d %H:%M} IST"
    if probes.token_expires <= probes.now:
        return Verdict("token", Level.WARNING, f"died at {when}", cure)
    hours = (probes.token_expires - probes.now).total_seconds() / 3600
    return Verdict("token", Level.OK, f"valid for {hours:.1f} h more, until {when}", "")


_CHECKS: tuple[Callable[[Probes], Verdict], ...] = (
    _python, _packages, _kernels, _home, _disk, _lock, _ledger, _halts, _ticks, _calendar, _clock, _token,
)  # fmt: skip
