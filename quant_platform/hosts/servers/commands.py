"""``quant servers up, down, status, env, fetch``: what the fleet does, as tables, lines for the shell or JSON."""

import shlex
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quant_platform.domain.errors import UsageError
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import PortChoice, ServersOptions
from quant_platform.hosts.servers.fleet import Fleet, Status, servers_named

STYLES = {"running": "green", "stopped": "dim", "failed": "bold red"}


def up(options: ServersOptions, ports: PortChoice | None) -> None:
    """Start what does not run, and tell where everything is.

    Raises:
        UsageError: there is no server of this name.
        UnavailableError: one could not be started.
    """
    fleet = _fleet(options)
    fleet.up(options.names, ports)
    _print(fleet.status(), options)
    if not options.json:
        print('addresses and passwords for a shell: eval "$(quant servers env)"')


def down(options: ServersOptions, *, purge: bool) -> None:
    """End what was started.

    Raises:
        UsageError: there is no server of this name.
    """
    fleet = _fleet(options)
    fleet.down(options.names, purge=purge)
    _print(fleet.status(), options)


def status(options: ServersOptions) -> None:
    """Tell what each server does now."""
    _print(_fleet(options).status(), options)


def environment(options: ServersOptions) -> None:
    """Print what the platform needs to find them, passwords included.

    Raises:
        UsageError: there is no server of this name, or none was ever started.
    """
    found = _fleet(options).environment(options.names)
    if not found:
        raise UsageError(f"no server was started in {options.home}", "run `quant servers up` first")
    if options.json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")


def fetch(names: Sequence[str]) -> None:
    """Have the programs of these servers on this machine (of all when empty).

    Raises:
        UsageError: there is no server of this name.
        UnavailableError: a program cannot be had.
    """
    for server in servers_named(names):
        server.fetch()
        print(f"{server.title} is there")


def _fleet(options: ServersOptions) -> Fleet:
    return Fleet(HomeFolder(options.home).servers)


def _print(servers: Sequence[Status], options: ServersOptions) -> None:
    if options.json:
        print_json({"servers": [server._asdict() | {"log": str(server.log)} for server in servers]})
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("server", "state", "address", "pid", "last line of its log"):
        table.add_column(heading, overflow="fold")
    for server in servers:
        table.add_row(
            server.name, Text(server.state, style=STYLES[server.state]), server.address, str(server.pid or ""),
            Text(server.last_line),
        )  # fmt: skip
    Console(highlight=False).print(table)
