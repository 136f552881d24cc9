"""``quant halt``, ``quant resume`` and ``quant squareoff``: the owner's order, written into the ledger."""

from datetime import UTC, datetime

import psutil

from quant_platform.domain.commands import Halt
from quant_platform.hosts.home import lock_holder
from quant_platform.hosts.look import home_of, open_ledger, print_json
from quant_platform.hosts.options import HaltOptions

_DONE = {
    Halt.NONE: "trades again",
    Halt.NO_ENTRIES: "makes no entries until `quant resume`; exits go on",
    Halt.OUT: "sells everything it holds and buys nothing until `quant resume`",
}


def run(options: HaltOptions) -> None:
    """Write the order, and say what follows from it.

    Raises:
        UsageError: there is no ledger yet, or it has no such portfolio.
        ConfigurationError: a setting is wrong, or Postgres refuses us.
        UnavailableError: the ledger cannot be reached or written now: nothing was ordered.
    """
    actor = f"quant, by {psutil.Process().username()}"  # a number where the user has no name, as in a container
    with open_ledger(options) as ledger:
        names = ledger.command(options.order, options.reason, actor, datetime.now(UTC), options.portfolio)
        found = {view.name: view for view in ledger.portfolios() if view.name in names}
    if options.json:
        print_json(
            {
                "portfolios": [
                    {"name": name, "halt": view.halt.order.label or None, "open_positions": view.open_positions}
                    for name, view in found.items()
                ]
            }
        )
        return
    for name in names:
        print(f"portfolio {name} {_DONE[options.order]}")
    if not names:
        print("there are no portfolios yet")
    elif options.mode == "embedded" and lock_holder(home_of(options)) is None:
        print("no platform runs on this home: it counts from the next `quant up` on")
