"""The simulated exchange as a process of its own: started, asked for its address, and never left behind."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from quant_platform.domain.errors import QuantError, UnavailableError
from quant_platform.hosts.options import UpOptions

READY_WITHIN_S = 120.0


class Address(msgspec.Struct, frozen=True):
    """What the exchange prints when it is ready."""

    url: str
    token: str
    depth: bool


class ExchangeProcess(NamedTuple):
    """A running exchange."""

    address: Address
    process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """End it at once: a simulated market has nothing to save, and may be in the middle of a long advance."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def command_line(options: UpOptions, seek_ns: int | None) -> list[str]:
    """How the exchange of a run is started.

    Args:
        options: of the run; its source is demo or replay.
        seek_ns: the moment to go on from, ns UTC; None for the beginning.
    """
    arguments = [sys.executable, "-m", "quant_platform.cli", "exchange", "--exit-with-parent"]
    arguments += ["--source", options.source, "--seed", str(options.seed)]
    arguments += ["--speed", "max" if options.speed is None else repr(options.speed)]
    if options.data:
        arguments += ["--data", *options.data]
    if options.day is not None:
        arguments += ["--date", options.day.isoformat()]
    if options.cut:
        arguments += ["--cut", str(options.cut)]
    if seek_ns is not None:
        arguments += ["--seek", str(seek_ns)]
    return arguments


async def start_exchange(arguments: Sequence[str]) -> ExchangeProcess:
    """Start the exchange and wait until it is ready.

    Its standard error is this process's own, so that what it complains about is seen.

    Raises:
        QuantError: it ended instead; its exit code becomes this run's.
        UnavailableError: it did not get ready in time.
    """
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    if process.stdout is None:
        raise UnavailableError("the simulated exchange has no standard output")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
    except TimeoutError:
        process.kill()
        raise UnavailableError(f"the simulated exchange was not ready within {READY_WITHIN_S:g} s") from None
    except asyncio.CancelledError:
        process.kill()
        raise
    if not line:
        failure = QuantError("the simulated exchange could not start", "its own message stands above")
        failure.exit_code = await process.wait() or 1
        raise failure
    return ExchangeProcess(msgspec.json.decode(line, type=Address), process)
