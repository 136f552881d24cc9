"""One core over Kafka: poll → process → store → flush → commit, for ever, whatever dies around it.

Nothing that a turn of the loop did counts before its commit. So every fault has one cure: drop what is in memory,
wait, and go on from the last commit.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog

from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.faults import fault_point
from quant_platform.hosts.garbage import Collector, collected_at_rest
from quant_platform.hosts.health import Health

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
CALM_AFTER_S = 30.0
"""A service that worked for so long begins with short pauses again."""
STUCK_FOR_S = 10
"""A loop that ``Health`` calls stuck so long in a row is given up."""

_log = structlog.get_logger(__name__)


class StreamService(Protocol):
    """A core with the adapters around it."""

    def open(self) -> None:
        """Connect, and restore what was committed last.

        Raises:
            UnavailableError: something is not there yet.
        """
        ...

    def poll(self) -> None:
        """Take what came in; wait for it a moment where there is nothing."""
        ...

    def process(self) -> None:
        """Have the core take it."""
        ...

    def store(self) -> None:
        """Hand on what the core made of it."""
        ...

    def flush(self) -> None:
        """Return when all that is durable."""
        ...

    def commit(self) -> None:
        """Never come back to what this turn took."""
        ...

    def close(self) -> None:
        """Let go of everything; what was not committed is dropped."""
        ...


STEPS = ("poll", "process", "store", "flush", "commit")


class Pauses:
    """How long to wait before the next try, in seconds: twice as long each time, up to a limit."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_S

    def next(self) -> float:
        """The pause that is due now."""
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE_S)
        return pause

    def begin_anew(self) -> None:
        """Let the next one be short again."""
        self._next = FIRST_PAUSE_S


class Backoff:
    """How long a service waits after a fault: longer each time, until it has worked for a while.

    Args:
        health: shown what is waited for.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._pauses = Pauses()

    def pause_after(self, error: UnavailableError, worked_s: float) -> float:
        """Show a fault; returns the seconds to wait before the service begins anew."""
        if worked_s > CALM_AFTER_S:
            self._pauses.begin_anew()
        pause = self._pauses.next()
        self._health.waiting(str(error))
        self._health.reopens.inc()
        _log.warning("waiting", reason=str(error), seconds=pause)
        return pause


def run(service: StreamService, health: Health, stop: threading.Event) -> None:
    """Turn the loop until told to stop, between two turns.

    Args:
        service: what is done in each step.
        health: told how it goes.
        stop: ends it.

    Raises:
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    ended = threading.Event()
    threading.Thread(target=_end_when_stuck, args=(health, ended), daemon=True).start()
    try:
        with collected_at_rest() as collector:
            _serve(service, health, stop, collector)
    finally:
        ended.set()


def _serve(service: StreamService, health: Health, stop: threading.Event, collector: Collector) -> None:
    backoff = Backoff(health)
    while not stop.is_set():
        began = time.monotonic()
        try:
            service.open()
            fault_point("open")
            health.working()
            _turn_until(stop, service, health, collector)
        except UnavailableError as error:
            stop.wait(backoff.pause_after(error, time.monotonic() - began))
        finally:
            service.close()


def _end_when_stuck(health: Health, ended: threading.Event) -> None:
    """Kill a process whose loop hangs in a client that ignores its own time limits: a new one goes on where it was."""
    seconds = 0
    while seconds < STUCK_FOR_S:  # one that was only paused gets the time to turn again
        if ended.wait(1.0):
            return
        seconds = seconds + 1 if health.is_stuck() else 0
    _log.error("the loop hangs; this process ends so that a new one goes on from the last commit")
    os.kill(os.getpid(), signal.SIGKILL)


def _turn_until(stop: threading.Event, service: StreamService, health: Health, collector: Collector) -> None:
    steps = [(name, getattr(service, name), health.step_seconds.labels(name)) for name in STEPS]
    while not stop.is_set():
        for name, step, seconds in steps:
            began = time.perf_counter()
            step()
            seconds.inc(time.perf_counter() - began)
            fault_point(name)
        health.commits.inc()
        health.working()
        collector.rest()


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; the second of them ends the process at once."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
