"""The core obeys its portfolio's owner: what the ledger's halt flag says, told to the runtime and to the log."""

import structlog

from quant_platform.domain.commands import Halt
from quant_platform.ports.ledger_store import HaltFlag
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime

_log = structlog.get_logger(__name__)


class HaltWatch:
    """Has a runtime obey the flag as it is found.

    Args:
        runtime: of the portfolio.
    """

    def __init__(self, runtime: StrategyRuntime) -> None:
        self._runtime = runtime
        self._seen: HaltFlag | None = None

    def obey(self, flag: HaltFlag, ts: int) -> None:
        """Take what the flag says, if it is new.

        Args:
            flag: as the ledger has it.
            ts: ns UTC, the market time up to which the runtime has taken everything.
        """
        if flag == self._seen:
            return
        self._seen = flag
        is_new = self._runtime.obey(flag.order, ts)
        if flag.order is not Halt.NONE:
            what = "makes no entries" if flag.order is Halt.NO_ENTRIES else "goes out of everything"
            _log.warning(f"the portfolio {what} until `quant resume`", reason=flag.reason)
        elif is_new:
            _log.warning("the portfolio trades again")
