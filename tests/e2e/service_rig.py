"""Run services and a simulated exchange as processes of their own, and ask them how they are."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from tests.e2e.platform_rig import QUANT, bare_environment

T = TypeVar("T")

WITHIN_S = 120.0


class Service(NamedTuple):
    """One ``quant service`` that runs."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def state(self) -> dict[str, Any]:
        """What ``/readyz`` says."""
        try:
            found: dict[str, Any] = httpx.get(f"{self.url}/readyz", timeout=10).json()
        except httpx.ConnectError as error:  # the port is told a moment before it is listened on
            return {"ready": False, "reason": str(error)}
        return found

    def wait_until_ready(self) -> None:
        eventually(lambda: self.state["ready"], lambda: f"{self.state} {self.log.read_text()[-2000:]}")

    def wait_until_killed(self) -> None:
        assert self.process.wait(WITHIN_S) < 0, self.log.read_text()[-2000:]


class Exchange(NamedTuple):
    """A simulated exchange that runs."""

    process: subprocess.Popen[str]
    url: str
    token: str

    @property
    def environment(self) -> dict[str, str]:
        return {"UPSTOX_BASE_URL": self.url, "UPSTOX_ACCESS_TOKEN": self.token}

    def clock(self) -> dict[str, Any]:
        return self._answer(httpx.get(f"{self.url}/simulator/clock", headers=self._headers, timeout=30))

    def advance(self, to_ns: int) -> None:
        """Let an exchange of speed max go on to a moment."""
        body = {"to_ns": to_ns, "requests": 0}
        self._answer(httpx.post(f"{self.url}/simulator/advance", headers=self._headers, json=body, timeout=120))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @staticmethod
    def _answer(reply: httpx.Response) -> dict[str, Any]:
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found


@contextlib.contextmanager
def exchange(*arguments: str, folder: Path) -> Iterator[Exchange]:
    """A demo market's exchange, ended with the block."""
    with _process("exchange", *arguments, "--exit-with-parent", folder=folder, log="exchange", environment={}) as one:
        assert one.stdout is not None
        shown = json.loads(one.stdout.readline())
        yield Exchange(one, shown["url"], shown["token"])


@contextlib.contextmanager
def service(name: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """One service, ended with the block where it still runs."""
    with _process("service", name, *arguments, folder=folder, log=name, environment=environment) as one:
        assert one.stdout is not None
        port = json.loads(one.stdout.readline())["port"]
        yield Service(one, f"http://127.0.0.1:{port}", folder / f"{name}.log")


@contextlib.contextmanager
def _process(
    *arguments: str, folder: Path, log: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    with (folder / f"{log}.log").open("a") as errors:
        process = subprocess.Popen(
            [*QUANT, *arguments], cwd=folder, env=bare_environment(**environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        process.kill()
        process.wait()


def eventually(ask: Callable[[], T], explain: Callable[[], str] = str, within_s: float = WITHIN_S) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)
    return answer
