"""A service as a process of its own: started, asked how it is, started again where it dies, ended with its parent."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import structlog
from prometheus_client.parser import text_string_to_metric_families

from quant_platform.domain.errors import QuantError
from quant_platform.hosts.process import Pauses

STOPPED_WITHIN_S = 20.0
ANSWERED_WITHIN_S = 2.0
CALM_AFTER_S = 60.0
MOST_FAILURES = 5
"""A service that fails so often without being calm between is broken, and starting it again would hide it. One that
was killed from outside is not."""

_log = structlog.get_logger(__name__)


class _Ready(msgspec.Struct, frozen=True):
    """What a service prints when it can be asked."""

    port: int


class ServiceProcess:
    """One ``quant service``.

    Args:
        name: of the service.
        arguments: beside its name.
        environment: of the process, wholly.
        log: file that its log is appended to.
        instance: name of this one among several of its kind.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, instance: str = "1"
    ) -> None:
        self.name = name
        self.instance = instance
        self.log = log
        self.starts = 0
        self._arguments = [name, "--instance", instance, "--exit-with-parent", *arguments]
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._port: int | None = None
        self._last_numbers: Counter[str] = Counter()

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

    @property
    def pid(self) -> int | None:
        """Of the process, None where none runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def state(self) -> str:
        """``ready``, or why it is not."""
        if self.pid is None or self._port is None:
            return "starting"
        try:
            async with httpx.AsyncClient(timeout=ANSWERED_WITHIN_S) as client:
                answer = (await client.get(f"http://127.0.0.1:{self._port}/readyz")).json()
        except (httpx.HTTPError, ValueError):
            return "does not answer"
        return "ready" if answer["ready"] else str(answer["reason"])

    async def numbers(self) -> Counter[str]:
        """Its metrics now, summed over their labels; those of the last time where it does not answer."""
        if self.pid is not None and self._port is not None:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(timeout=ANSWERED_WITHIN_S) as client:
                    answer = await client.get(f"http://127.0.0.1:{self._port}/metrics")
                self._last_numbers = _summed(answer.text)
        return self._last_numbers

    async def _run_once(self) -> int:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "quant_platform.cli", "service", *self._arguments),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        assert process.stdout is not None, "it was asked for"  # noqa: S101
        line = await process.stdout.readline()
        self._port = msgspec.json.decode(line, type=_Ready).port if line else None
        code = await process.wait()
        self._port = None
        return code

    def _failure(self, code: int) -> QuantError:
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        said = lines[-1] if lines else "nothing"
        failure = QuantError(
            f"service {self.name} ended with exit code {code}; its log says: {said}", f"read {self.log}"
        )
        failure.exit_code = max(1, code)
        return failure


def _summed(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] += sample.value  # type: ignore[assignment]  # counts and seconds alike
    return found
