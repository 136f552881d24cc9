"""The servers of one home: started, waited for, ended, and what is known about each kept in ``servers.json``."""

import contextlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from quant_platform.domain.errors import UnavailableError, UsageError
from quant_platform.hosts.options import PortChoice
from quant_platform.hosts.servers import processes
from quant_platform.hosts.servers.kafka import Kafka
from quant_platform.hosts.servers.minio import Minio
from quant_platform.hosts.servers.postgres import Postgres
from quant_platform.hosts.servers.processes import ProcessMark
from quant_platform.hosts.servers.programs import locked
from quant_platform.hosts.servers.questdb import Questdb
from quant_platform.hosts.servers.redis import Redis
from quant_platform.hosts.servers.server import ADDRESS, Place, Server

SERVERS: Mapping[str, Server] = {server.name: server for server in (Kafka(), Postgres(), Questdb(), Redis(), Minio())}

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 30.0
PASSWORD_BYTES = 24

# Below the ports that the system gives to outgoing connections, one of which could take ours while a server is down.
FREE_PORTS = range(20_000, 32_000)

State = Literal["running", "stopped", "failed"]


class Kept(msgspec.Struct):
    """What is kept of one server: the same ports and passwords at every start, and its process while it has one."""

    ports: dict[str, int]
    passwords: dict[str, str]
    process: ProcessMark | None = None


class Status(NamedTuple):
    """One server as it is now."""

    name: str
    state: State
    address: str  # empty before its first start
    pid: int | None
    log: Path
    last_line: str  # of the log


class Fleet:
    """The servers of one home.

    Args:
        folder: for data, logs, ports and passwords.
        exit_with_parent: let them be killed when the calling process ends, however that ends (Linux).
    """

    def __init__(self, folder: Path, *, exit_with_parent: bool = False) -> None:
        self._folder = folder.absolute()
        self._exit_with_parent = exit_with_parent

    def up(self, names: Sequence[str] = (), ports: PortChoice | None = None) -> None:
        """Start what does not run and wait until everything named answers.

        Args:
            names: of the servers, all when empty.
            ports: choose anew for those that do not run; None keeps the ports of the last start (at the first one:
                the usual ones where they are free).

        Raises:
            UsageError: there is no server of this name.
            UnavailableError: some could not be started; the others run.
        """
        wanted = servers_named(names)
        self._make_folder()
        failures: list[UnavailableError] = []
        with locked(self._folder / "lock"):
            started = []
            for server in wanted:
                with _gathered(failures):
                    if self._start(server, ports):
                        started.append(server)
            for server in started:
                with _gathered(failures):
                    self._wait(server)
        if failures:
            raise UnavailableError(
                "; ".join(each.what for each in failures), "; ".join(dict.fromkeys(each.cure for each in failures))
            )

    def down(self, names: Sequence[str] = (), *, purge: bool = False) -> None:
        """End what we started, and with ``purge`` delete its data, ports and passwords too.

        Raises:
            UsageError: there is no server of this name.
        """
        wanted = servers_named(names)
        if not self._folder.is_dir():
            return
        with locked(self._folder / "lock"):
            for server in wanted:
                kept = self._read().get(server.name)
                if kept is None:
                    continue
                if kept.process is not None:
                    processes.stop(kept.process, server.stop_signal, STOPPED_WITHIN_S)
                kept.process = None
                self._write(server.name, kept)
                if purge:
                    shutil.rmtree(self._folder / server.name, ignore_errors=True)
                    self._log(server).unlink(missing_ok=True)
                    self._write(server.name, None)

    def status(self) -> list[Status]:
        """Every server as it is now."""
        known = self._read()
        return [self._status(server, known.get(server.name)) for server in SERVERS.values()]

    def environment(self, names: Sequence[str] = ()) -> dict[str, str]:
        """The variables under which the platform finds them, passwords included; of those once started only."""
        known = self._read()
        found: dict[str, str] = {}
        for server in servers_named(names):
            if server.name in known:
                found |= server.environment(self._place(server, known[server.name]))
        return found

    def process(self, name: str) -> ProcessMark | None:
        """The process of a server that was started and not ended since."""
        kept = self._read().get(name)
        return None if kept is None else kept.process

    def _start(self, server: Server, ports: PortChoice | None) -> bool:
        """Start one that does not run; False for one that does."""
        known = self._read()
        kept = known.get(server.name)
        if kept is not None and kept.process is not None and kept.process.find() is not None:
            return False
        taken = {port for other in known.values() for port in other.ports.values()}
        if kept is None:
            passwords = {purpose: secrets.token_urlsafe(PASSWORD_BYTES) for purpose in server.passwords}
            kept = Kept(_choose(server, ports or "usual", taken), passwords)
        elif ports is not None:
            kept.ports = _choose(server, ports, taken - set(kept.ports.values()))
        kept.process = None
        self._write(server.name, kept)
        for port in kept.ports.values():
            if not _is_free(port):
                raise UnavailableError(
                    f"{server.title} cannot listen on {ADDRESS}:{port}, which another program holds",
                    "end that one, or take another port: quant servers up --ports free",
                )
        place = self._place(server, kept)
        place.folder.mkdir(mode=0o700, exist_ok=True)
        launch = server.launch(place)
        kept.process = processes.start(launch, self._log(server), exit_with_parent=self._exit_with_parent)
        self._write(server.name, kept)
        return True

    def _wait(self, server: Server) -> None:
        kept = self._read()[server.name]
        place, deadline = self._place(server, kept), time.monotonic() + READY_WITHIN_S
        while True:
            try:
                server.check(place)
            except Exception as error:
                if kept.process is None or kept.process.find() is None:
                    raise self._failure(server, "ended instead of starting") from None
                if time.monotonic() > deadline:
                    raise self._failure(server, f"did not answer within {READY_WITHIN_S:g} s ({error})") from None
                time.sleep(0.1)
            else:
                return

    def _failure(self, server: Server, what: str) -> UnavailableError:
        log = self._log(server)
        said = " / ".join(_last_lines(log, 3)) or "nothing"
        return UnavailableError(f"{server.title} {what}; its log says: {said}", f"read {log}, then start it again")

    def _status(self, server: Server, kept: Kept | None) -> Status:
        log = self._log(server)
        state: State = "stopped"
        pid, address = None, ""
        if kept is not None:
            address = f"{ADDRESS}:{next(iter(kept.ports.values()))}"
            if kept.process is not None:
                process = kept.process.find()
                pid, state = (None, "failed") if process is None else (process.pid, "running")
        return Status(server.name, state, address, pid, log, "".join(_last_lines(log, 1)))

    def _place(self, server: Server, kept: Kept) -> Place:
        return Place(self._folder / server.name, kept.ports, kept.passwords)

    def _log(self, server: Server) -> Path:
        return self._folder / f"{server.name}.log"

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"folder {self._folder} cannot be made: {error.strerror}", "choose another --home"
            ) from None

    def _read(self) -> dict[str, Kept]:
        try:
            return msgspec.json.decode((self._folder / "servers.json").read_bytes(), type=dict[str, Kept])
        except FileNotFoundError:
            return {}

    def _write(self, name: str, kept: Kept | None) -> None:
        known = self._read()
        if kept is None:
            known.pop(name, None)
        else:
            known[name] = kept
        unfinished = self._folder / "servers.json.unfinished"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(known)))
        unfinished.replace(self._folder / "servers.json")


@contextlib.contextmanager
def _gathered(failures: list[UnavailableError]) -> Iterator[None]:
    """Go on after a failure, which is told with the others in the end."""
    try:
        yield
    except UnavailableError as error:
        failures.append(error)


def servers_named(names: Sequence[str]) -> list[Server]:
    """The servers of these names, all when empty.

    Raises:
        UsageError: there is none of this name.
    """
    for name in names:
        if name not in SERVERS:
            raise UsageError(f"there is no server {name!r}", f"choose among {', '.join(SERVERS)}")
    return [server for server in SERVERS.values() if not names or server.name in names]


def _choose(server: Server, choice: PortChoice, taken: Iterable[int]) -> dict[str, int]:
    """A port for each purpose, none of them taken by another server of ours."""
    used, chosen = set(taken), {}
    for purpose, usual in server.usual_ports.items():
        port = usual
        while choice == "free" or port in used or not _is_free(port):
            port = FREE_PORTS[secrets.randbelow(len(FREE_PORTS))]
            if port not in used and _is_free(port):
                break
        used.add(port)
        chosen[purpose] = port
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _last_lines(log: Path, count: int) -> list[str]:
    try:
        return log.read_text("utf-8", errors="replace").strip().splitlines()[-count:]
    except OSError:
        return []
