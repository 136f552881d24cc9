"""A run's executions, added up and hashed: the same for every ledger."""

import hashlib

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.money import decimal_text
from quant_platform.domain.orders import BUY, SELL
from quant_platform.ports.ledger_store import Executions

SIDE_NAMES = {BUY: "BUY", SELL: "SELL"}


class Tally:
    """Sums in paise over executions in order of execution, and the SHA-256 of their lines (trading rules, "Numbers").

    Args:
        balance: cash before the first of them, paise.

    Attributes:
        balance: cash after those so far.
        fills: their number.
        round_trips: the sells among them.
        gross: Σ (sell value − its position's buy value).
        charges: of all.
        net: Σ pnl.
    """

    def __init__(self, balance: int) -> None:
        self._digest = hashlib.sha256()
        self.balance = balance
        self.fills = self.round_trips = self.gross = self.charges = self.net = 0

    @property
    def sha256(self) -> str:
        """The ledger's hash so far, in hexadecimal."""
        return self._digest.hexdigest()

    def take(self, executed: Executions) -> None:
        """Add the next executions."""
        ts, symbol, side, quantity, value, charges, gross, pnl = executed
        lines = [
            f"{t}|{s}|{SIDE_NAMES[b]}|{q}|{v}|{c}|{p}\n"
            for t, s, b, q, v, c, p in zip(ts, symbol, side, quantity, value, charges, pnl, strict=True)
        ]
        self._digest.update("".join(lines).encode())
        self.fills += len(lines)
        self.round_trips += side.count(SELL)
        self.gross += sum(gross)
        self.charges += sum(charges)
        self.net += sum(pnl)
        self.balance -= sum(b * v for b, v in zip(side, value, strict=True)) + sum(charges)

    def check(self, run_id: str, balance: int) -> None:
        """Compare with what a block or the stored run says.

        Raises:
            LedgerError: the executions do not lead to that balance (paise).
        """
        if self.balance != balance:
            raise LedgerError(
                f"run {run_id} ends at {decimal_text(self.balance, 2)} by its orders and at "
                f"{decimal_text(balance, 2)} by its balance",
                "the ledger was changed from outside; `quant doctor` names the row",
            )
