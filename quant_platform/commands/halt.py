"""``quant halt, resume, squareoff``: the kill switch, and out of everything now."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from typing import Annotated

import typer

from quant_platform.commands import flags
from quant_platform.domain.commands import Halt
from quant_platform.hosts.options import HaltOptions

EXAMPLES = """\b
Examples:
  quant halt --reason "results today"            pending entries are cancelled, no others made; exits go on
  quant squareoff --mode distributed             beside that, every position is sold now
  quant resume --portfolio default               takes either back

\b
Without --portfolio it is for every portfolio of the ledger. It holds until `quant resume`, over restarts and days.
Whoever trades a portfolio finds it within half a second. Nobody is asked whether they are sure.
"""

MOST_REASON = 200

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: kept in the audit log, and shown while it holds.")
]
Portfolio = Annotated[
    str | None, typer.Option("--portfolio", metavar="NAME", help="Only this portfolio. [default: all]")
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (halt, resume, squareoff):
        app.command(epilog=EXAMPLES)(command)


def halt(
    portfolio: Portfolio = None,
    reason: Reason = "by hand",
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Make no entries any more; exits go on."""
    _order(HaltOptions(Halt.NO_ENTRIES, portfolio, reason, mode, home, json, config))


def resume(
    portfolio: Portfolio = None,
    reason: Reason = "by hand",
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Trade again after `quant halt` or `quant squareoff`."""
    _order(HaltOptions(Halt.NONE, portfolio, reason, mode, home, json, config))


def squareoff(
    portfolio: Portfolio = None,
    reason: Reason = "by hand",
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Sell everything now, and make no entries any more."""
    _order(HaltOptions(Halt.OUT, portfolio, reason, mode, home, json, config))


def _order(options: HaltOptions) -> None:
    if not 0 < len(options.reason) <= MOST_REASON or not options.reason.isprintable():
        raise typer.BadParameter(f"write 1 to {MOST_REASON} characters", param_hint="--reason")
    from quant_platform.hosts import halt as host

    host.run(options)
