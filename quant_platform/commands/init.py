"""``quant init``: the ``.env`` files that Docker Compose needs."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from pathlib import Path

import typer

from quant_platform.commands import flags
from quant_platform.hosts.installation_options import InitOptions

EXAMPLES = """\b
Examples:
  quant init                                     for the real market; then fill in services/ingestion/.env
  quant init --demo                              with a simulated exchange, which needs no keys
  docker compose up -d
"""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog=EXAMPLES)(init)


def init(folder: flags.Checkout = Path(), demo: flags.Demo = False, json: flags.Json = False) -> None:
    """Write the .env files of a checkout, with generated secrets.

    What is there already is never overwritten; what is missing is added.
    """
    from quant_platform.hosts import installation as host

    host.run(InitOptions(folder=folder, demo=demo, json=json))
