"""The home folder: where ledger, ticks and lock stand, and the lock that keeps a second platform out of it."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from quant_platform.domain.errors import SafetyError, UnavailableError


@dataclass(frozen=True, slots=True)
class HomeFolder:
    """Names below a home folder; nothing is made by asking for one."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The SQLite file of the ledger."""
        return self.root / "ledger.sqlite"

    @property
    def ticks(self) -> Path:
        """The folder of stored ticks."""
        return self.root / "ticks"

    @property
    def servers(self) -> Path:
        """The folder of the servers that ``quant servers`` starts."""
        return self.root / "servers"

    @property
    def objects(self) -> Path:
        """The folder that stands in for a bucket."""
        return self.root / "objects"

    @property
    def lock_file(self) -> Path:
        """The file that a running platform holds locked."""
        return self.root / "lock"


class LockHolder(msgspec.Struct, frozen=True):
    """Who holds a home folder, as written into its lock file."""

    pid: int
    started: float  # s since the epoch: tells the process from a later one of the same number


def lock_holder(home: HomeFolder) -> LockHolder | None:
    """The running process that holds the folder, without touching its lock; None where there is none."""
    try:
        holder = msgspec.json.decode(home.lock_file.read_bytes(), type=LockHolder)
        alive = abs(psutil.Process(holder.pid).create_time() - holder.started) < 1.0
    except (OSError, msgspec.DecodeError, psutil.NoSuchProcess):
        return None
    except psutil.AccessDenied:
        return holder
    return holder if alive else None


class HomeLock:
    """Holds a home folder for this process while the ``with`` block lasts; a killed process lets go of it.

    Raises:
        SafetyError: another process holds the folder.
        UnavailableError: the folder cannot be written.
    """

    def __init__(self, home: HomeFolder) -> None:
        self._home = home
        self._file = -1

    def __enter__(self) -> Self:
        home = self._home
        try:
            home.root.mkdir(parents=True, exist_ok=True)
            self._file = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UnavailableError(
                f"home folder {home.root} cannot be written: {error.strerror}", "choose another --home"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            holder = lock_holder(home)
            by = f"process {holder.pid}" if holder else "another process"
            raise SafetyError(
                f"home folder {home.root} is in use by {by}", "stop that one, or choose another --home"
            ) from None
        mine = LockHolder(os.getpid(), psutil.Process().create_time())
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(mine), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)
