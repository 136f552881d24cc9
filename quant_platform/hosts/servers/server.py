"""What every server has: a place that keeps its ports and passwords, and what it must be able to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Protocol

from quant_platform.hosts.servers.processes import Launch

ADDRESS = "127.0.0.1"
"""Where everything listens, and nowhere else."""


@dataclass(frozen=True, slots=True)
class Place:
    """One server's own folder, ports and passwords, the same at every start.

    Attributes:
        folder: for its data and configuration; everything in it goes with ``down --purge``.
        ports: purpose → port.
        passwords: purpose → password.
    """

    folder: Path
    ports: Mapping[str, int]
    passwords: Mapping[str, str]

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"


class Server(Protocol):
    """A kind of server."""

    name: str
    title: str
    usual_ports: Mapping[str, int]  # purpose → where clients look for it by default; the first is the one shown
    passwords: tuple[str, ...]  # purposes
    stop_signal: Signals

    def fetch(self) -> None:
        """Have its program on this machine.

        Raises:
            UnavailableError: it cannot be had; the cure says how to get it.
        """
        ...

    def launch(self, place: Place) -> Launch:
        """Make ready what a start needs, data included where there is none, and say how to start.

        Raises:
            UnavailableError: its program cannot be had, or its data cannot be made.
        """
        ...

    def check(self, place: Place) -> None:
        """Ask it something that only a working server answers; raises anything where it does not."""
        ...

    def environment(self, place: Place) -> Mapping[str, str]:
        """The variables under which the platform looks for it."""
        ...
