"""The portfolio's owner is obeyed: what would be bought is cancelled, and where told so what is held is sold."""

from typing import Any

from quant_platform.domain.commands import Halt
from quant_platform.domain.orders import Trigger
from quant_platform.kernel import kernel
from quant_platform.services.strategy_runtime.loop import cancel_entry, mark_minute, square_off
from quant_platform.services.strategy_runtime.risk import NO_HALT

COMMAND = int(Trigger.COMMAND)
OUT = int(Halt.OUT)


@kernel
def obey(  # noqa: D417 - the rest is named in one line
    accounts: Any, positions: Any, events: Any, order: Any, halt: int, ts: int
) -> None:
    """Take the owner's order: cancel what would be bought, and where told so sell what is held, by symbol.

    Args:
        accounts: and positions, events and order, as in :func:`.loop.fire_timers`, whose timers are due after ``ts``.
        halt: :class:`~quant_platform.domain.orders.Halt`.
        ts: ns UTC, market time.
    """
    account = accounts[0]
    account["halt"] = halt
    if halt == NO_HALT:
        return
    if account["minute_end"] != 0:  # before the first tick there is no curve to mark
        mark_minute(account, events, ts)
    for k in range(order.size):
        symbol = order[k]
        position = positions[symbol]
        if halt == OUT:
            square_off(account, position, events, ts, symbol, COMMAND)
        else:
            cancel_entry(account, position, events, ts, symbol)
