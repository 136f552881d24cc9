"""``quant login``: the day's access token of Upstox."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from typing import Annotated

import typer

from quant_platform.commands import flags
from quant_platform.hosts.installation_options import LoginOptions

EXAMPLES = """\b
Examples:
  quant login                                    opens Upstox in your browser
  quant login --paste                            where the browser runs on another machine

\b
Needed once, in .env: UPSTOX_API_KEY, UPSTOX_API_SECRET and, if it is another one in Upstox's console,
UPSTOX_REDIRECT_URI=http://127.0.0.1:8080/callback. A token ends at 03:30 IST: log in anew each day.
"""

Paste = Annotated[
    bool, typer.Option("--paste", help="Paste the address that the browser ends at, instead of listening.")
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser, or only print where to go.")]
Within = Annotated[float, typer.Option("--within", metavar="SECONDS", min=1, help="How long to wait for the login.")]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog=EXAMPLES)(login)


def login(
    paste: Paste = False,
    browser: Browser = True,
    within: Within = 300.0,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Log in to Upstox, and keep the day's access token in .env."""
    from quant_platform.hosts import login as host

    host.run(LoginOptions(paste=paste, browser=browser, within_s=within, json=json, config=config))
