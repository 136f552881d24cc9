"""A server's process: started in its own session, known again by pid and start time, ended with its children."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started.

    Attributes:
        command: program and arguments; no secret, since everybody sees them.
        environment: added to ours, secrets too.
        user: run as this user of the system, None for our own.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class ProcessMark(msgspec.Struct, frozen=True):
    """A process that we started, told from a later one of the same number."""

    pid: int
    started: float  # s since the epoch

    def find(self) -> psutil.Process | None:
        """The process while it runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            is_ours = abs(process.create_time() - self.started) < 1.0
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def start(launch: Launch, log: Path, *, exit_with_parent: bool = False) -> ProcessMark:
    """Start a server that outlives us, its output appended to the log.

    Args:
        launch: what to start.
        log: its log file.
        exit_with_parent: let the kernel kill it when the calling thread ends, however that ends (Linux).
    """
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(  # noqa: S603
            launch.command,
            cwd="/",
            env=os.environ | launch.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=launch.user,
            group=launch.user,
            extra_groups=() if launch.user else None,
            preexec_fn=_die_with_parent if exit_with_parent and sys.platform == "linux" else None,  # noqa: PLW1509
        )
    return ProcessMark(process.pid, psutil.Process(process.pid).create_time())


def stop(mark: ProcessMark, with_signal: signal.Signals, within_s: float) -> None:
    """Ask the process to end; kill it and its children when it does not in time. One that is gone is left alone."""
    family = _family(mark)
    if not family:
        return
    send(family[:1], with_signal)
    send(family, signal.SIGCONT)  # a paused one takes no other signal before it goes on
    _, alive = psutil.wait_procs(family, within_s)
    send(alive, signal.SIGKILL)
    psutil.wait_procs(alive, within_s)


def kill(mark: ProcessMark) -> None:
    """End the process and its children at once, and wait until they are gone."""
    stop(mark, signal.SIGKILL, within_s=10)


def pause(mark: ProcessMark) -> None:
    """Let the process and its children stand still; to others they look hung."""
    send(_family(mark), signal.SIGSTOP)


def resume(mark: ProcessMark) -> None:
    """Let a paused process go on."""
    send(_family(mark), signal.SIGCONT)


def send(processes: Sequence[psutil.Process], signal_number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal_number)


def _family(mark: ProcessMark) -> list[psutil.Process]:
    """The process and then its children; empty where it is gone."""
    process = mark.find()
    if process is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
