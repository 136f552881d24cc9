"""Bookkeeping, fill by fill."""

from typing import Any

import numpy as np
import pytest

from quant_platform.domain.orders import BUY, SELL, Fill
from quant_platform.services.strategy_runtime import ledger
from quant_platform.services.strategy_runtime.state import ACCOUNT, POSITION


def books(cash: int, ltp: int = 0) -> tuple[Any, Any]:
    account, position = np.zeros(1, ACCOUNT)[0], np.zeros(1, POSITION)[0]
    account["cash"] = account["peak"] = cash
    position["ltp"] = ltp
    return account, position


ROUND_TRIPS = [
    # quantity, buy value, its charges, sell value, its charges, gross, pnl
    (20, 200_000, 240, 201_000, 290, 1_000, 470),
    (20, 200_000, 240, 200_000, 290, 0, -530),
    (3, 100_001, 0, 99_999, 0, -2, -2),
    (1, 5, 0, 0, 0, -5, -5),
]


@pytest.mark.parametrize(("quantity", "bought", "fee", "sold", "fee_out", "gross", "pnl"), ROUND_TRIPS)
def test_round_trip(quantity: int, bought: int, fee: int, sold: int, fee_out: int, gross: int, pnl: int) -> None:
    account, position = books(1_000_000)
    account["slots"] = 1
    assert ledger.post(account, position, Fill(7, 0, BUY, quantity, bought, fee)) == (0, 0)
    assert account["cash"] == 1_000_000 - bought - fee
    assert (position["quantity"], position["buy_value"], position["buy_charges"]) == (quantity, bought, fee)
    assert position["opened_at"] == 7
    assert ledger.post(account, position, Fill(9, 0, SELL, quantity, sold, fee_out)) == (gross, pnl)
    assert account["cash"] == 1_000_000 + pnl
    assert (position["quantity"], account["slots"], account["holdings"]) == (0, 0, 0)


def test_holdings_are_worth_the_last_price_of_their_symbols() -> None:
    account, first = books(1_000_000, ltp=10_000)
    second = np.zeros(1, POSITION)[0]
    second["ltp"] = 500
    ledger.post(account, first, Fill(1, 0, BUY, 20, 201_000, 0))
    ledger.post(account, second, Fill(2, 1, BUY, 7, 3_500, 0))
    assert account["holdings"] == 20 * 10_000 + 7 * 500
    first["ltp"] = 9_000
    ledger.mark(account, first)
    assert account["holdings"] == 20 * 9_000 + 7 * 500


@pytest.mark.parametrize(
    ("cash", "held", "own", "cost", "fits"),
    [
        (1000, 0, 0, 1000, True),
        (1000, 0, 0, 1001, False),
        (1000, 300, 300, 1000, True),
        (1000, 800, 300, 500, True),
        (1000, 800, 300, 501, False),
    ],
)
def test_an_entry_may_use_its_own_hold_and_no_other(cash: int, held: int, own: int, cost: int, fits: bool) -> None:
    account, position = books(cash)
    account["held"], position["hold"] = held, own
    assert ledger.can_pay(account, position, cost) == fits


def test_drawdown_is_taken_from_the_running_peak() -> None:
    account, _ = books(1000)
    falls = []
    for cash in (1001, 900, 950, 1200, 1150, 1050, 1300, 1200):
        account["cash"] = cash
        ledger.mark_equity(account)
        falls.append(int(account["max_drawdown"]))
    assert falls == [0, 101, 101, 101, 101, 150, 150, 150]
    assert account["peak"] == 1300
