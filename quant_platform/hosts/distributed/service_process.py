"""A service as a process of its own: started, started again where it dies, and ended with its parent."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from quant_platform.domain.errors import QuantError
from quant_platform.hosts.process import Pauses

STOPPED_WITHIN_S = 20.0
CALM_AFTER_S = 60.0
MOST_FAILURES = 5
"""A service that fails so often without being calm between is broken, and starting it again would hide it. One that
was killed from outside is not."""

_log = structlog.get_logger(__name__)


class ServiceProcess:
    """One ``quant service``.

    Args:
        name: of the service.
        arguments: beside its name.
        environment: of the process, wholly.
        port: where it answers, the same at every start.
        log: file that its log is appended to.
        instance: name of this one among several of its kind.
        niceness: how much further than ourselves it yields the processors to others.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        log: Path,
        instance: str = "1",
        niceness: int = 0,
    ) -> None:
        self.name = name
        self.instance = instance
        self.log = log
        self.starts = 0
        self._niceness = niceness
        self._arguments = [name, "--instance", instance, "--exit-with-parent", *arguments]
        self._environment = {**environment, "QUANT_SERVICE__PORT": str(port)}
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run it until it ends by itself with its work done; start it again when it dies.

        Raises:
            QuantError: it refused to run (its exit code is passed on), or it fails again and again.
        """
        failures, pauses = 0, Pauses()
        while True:
            began = time.monotonic()
            code = await self._run_once()
            if code == 0:
                return
            was_killed = code < 0
            if was_killed or time.monotonic() - began > CALM_AFTER_S:
                failures = 0
                pauses.begin_anew()
            failures += not was_killed
            if code > 1 or failures > MOST_FAILURES:
                raise self._failure(code)
            _log.warning("a service died and is started again", service=self.name, instance=self.instance, code=code)
            await asyncio.sleep(pauses.next())

    async def stop(self) -> None:
        """End it gracefully; one that does not listen is killed."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "quant_platform.cli", "service", *self._arguments),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        if self._niceness:
            with contextlib.suppress(ProcessLookupError):  # dead already
                os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + self._niceness)
        self.starts += 1
        return await process.wait()

    def _failure(self, code: int) -> QuantError:
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        said = _reason_of(lines[-1]) if lines else "its log says nothing"
        failure = QuantError(f"service {self.name} ended with exit code {code}: {said}", f"read {self.log}")
        failure.exit_code = max(1, code)
        return failure


def _reason_of(line: str) -> str:
    """What the last line of a log says for people; a process that was cut short may have left half a line."""
    with contextlib.suppress(json.JSONDecodeError):
        entry = json.loads(line)
        if isinstance(entry, dict):
            return str(entry.get("reason") or entry.get("event") or line)
    return line
