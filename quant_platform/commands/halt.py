"""``quant halt, resume, squareoff``: the kill switch, and out of everything now."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from collections.abc import Callable
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
_COMMANDS = {
    "halt": (Halt.NO_ENTRIES, "Make no entries any more; exits go on."),
    "resume": (Halt.NONE, "Trade again after `quant halt` or `quant squareoff`."),
    "squareoff": (Halt.OUT, "Sell everything now, and make no entries any more."),
}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for name, (order, what) in _COMMANDS.items():
        app.command(name, help=what, epilog=EXAMPLES)(_command(order))


def _command(order: Halt) -> Callable[..., None]:
    def command(
        portfolio: flags.OnePortfolio = None,
        reason: Reason = "by hand",
        mode: flags.LedgerMode = "embedded",
        home: flags.Home = None,
        json: flags.Json = False,
        config: flags.ConfigFile = None,
    ) -> None:
        _order(HaltOptions(order, portfolio, reason, mode, home, json, config))

    return command


def _order(options: HaltOptions) -> None:
    if not 0 < len(options.reason) <= MOST_REASON or not options.reason.isprintable():
        raise typer.BadParameter(f"write 1 to {MOST_REASON} characters", param_hint="--reason")
    from quant_platform.hosts import halt as host

    host.run(options)
