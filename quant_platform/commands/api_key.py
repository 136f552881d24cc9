"""``quant api-key``: the keys of the HTTP API."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from typing import Annotated

import typer

from quant_platform.commands import flags

EXAMPLES = """\b
Examples:
  quant api-key new laptop                       may read everything
  quant api-key new ci --days 30 --json
  quant api-key revoke 1f2e3d4c5b6a              refused from the next request on

\b
Rotate a key by making the new one, handing it out, and revoking the old one.
Keys stand in the ledger of the settings (POSTGRES_HOST, POSTGRES_PASSWORD, …), as hashes only.
"""

key_app = typer.Typer(help="The keys of the HTTP API.", epilog=EXAMPLES, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `quant api-key list` shows it; never the key itself.")]
Scopes = Annotated[
    list[str],
    typer.Option("--scope", metavar="SCOPE", help="read, trade (halt, square off) or admin (all); repeat for several."),
]
Days = Annotated[int | None, typer.Option("--days", min=1, max=3650, help="Ends after so long. [default: never]")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(key_app, name="api-key")


@key_app.command("new")
def new(
    name: Name,
    scope: Scopes = ["read"],  # noqa: B006 - Typer copies it
    days: Days = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Make a key and print it, this once."""
    from quant_platform.hosts import key_list as host

    host.make(name, scope, days, json, config)


@key_app.command("list")
def list_(json: flags.Json = False, config: flags.ConfigFile = None) -> None:
    """Print every key: what it is for, what it may do, whether it is in force."""
    from quant_platform.hosts import key_list as host

    host.show(json, config)


@key_app.command("revoke")
def revoke(key_id: KeyId, config: flags.ConfigFile = None) -> None:
    """Have a key refused from now on; it cannot be brought back."""
    from quant_platform.hosts import key_list as host

    host.revoke(key_id, config)
