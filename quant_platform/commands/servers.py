"""``quant servers``: the real servers the platform runs on, without Docker."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from pathlib import Path

import typer

from quant_platform.commands import flags
from quant_platform.hosts.options import ServersOptions

EXAMPLES = """\b
Examples:
  quant servers up                               all of them; a second time, what does not run
  quant servers up kafka postgres
  eval "$(quant servers env)"                    their addresses and passwords, for this shell
  quant servers down                             end them, keep their data
  quant servers down --purge                     and delete it
  quant servers fetch                            have their programs on this machine, start nothing
"""

servers_app = typer.Typer(
    help="Kafka, PostgreSQL, QuestDB, Redis and S3 on this machine, without Docker.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(servers_app, name="servers")


@servers_app.command()
def up(
    names: flags.ServerNames = None,
    ports: flags.Ports = None,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Start what does not run, and wait until it answers."""
    from quant_platform.hosts.servers import commands as host

    host.up(_options(names, home, config, json), ports)


@servers_app.command()
def down(
    names: flags.ServerNames = None,
    purge: flags.Purge = False,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """End what was started; data and ports are kept."""
    from quant_platform.hosts.servers import commands as host

    host.down(_options(names, home, config, json), purge=purge)


@servers_app.command()
def status(
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Tell which run, which do not, and which failed."""
    from quant_platform.hosts.servers import commands as host

    host.status(_options(None, home, config, json))


@servers_app.command()
def env(
    names: flags.ServerNames = None,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Print addresses and passwords as lines for the shell."""
    from quant_platform.hosts.servers import commands as host

    host.environment(_options(names, home, config, json))


@servers_app.command()
def fetch(names: flags.ServerNames = None) -> None:
    """Have their programs on this machine, so that the first start does not wait for them."""
    from quant_platform.hosts.servers import commands as host

    host.fetch(tuple(names or ()))


def _options(names: list[str] | None, home: Path | None, config: Path | None, json: bool) -> ServersOptions:
    if home is None:
        from quant_platform.hosts.config import load_settings

        home = load_settings(config).paths.home
    return ServersOptions(names=tuple(names or ()), home=home, json=json)
