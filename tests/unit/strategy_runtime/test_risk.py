"""Sizing and limits, case by case: budget, then positions, then cash."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from quant_platform.domain.charges import rates_on
from quant_platform.domain.orders import BUY, SELL, Intent, Refusal, Trigger
from quant_platform.services.strategy_runtime import risk
from quant_platform.services.strategy_runtime.state import ACCOUNT, POSITION, Limits
from tests.golden.reference_charges import charges

DAY = date(2025, 3, 10)
TEN = Limits(1000, 10, 100, 0, 0, False)


def account_of(**fields: int) -> Any:
    account = np.zeros(1, ACCOUNT)[0]
    for name, value in fields.items():
        account[name] = value
    return account


def fee(value: int) -> int:
    return charges(DAY, "BUY", value)


ENTRIES = [
    # what, budget, slots, cash, held, price, refusal, quantity
    ("shares are rounded down", 200_000, 0, 10**7, 0, 33_000, Refusal.NONE, 6),
    ("the budget buys one share exactly", 200_000, 0, 10**7, 0, 200_000, Refusal.NONE, 1),
    ("one share costs a paisa more than the budget", 200_000, 0, 10**7, 0, 200_001, Refusal.PRICE_ABOVE_BUDGET, 0),
    ("no budget at all", 0, 0, 10**7, 0, 5, Refusal.PRICE_ABOVE_BUDGET, 0),
    ("a budget below nothing", -200_000, 0, 10**7, 0, 5, Refusal.PRICE_ABOVE_BUDGET, 0),
    ("the last place is free", 200_000, 9, 10**7, 0, 10_000, Refusal.NONE, 20),
    ("all places are taken", 200_000, 10, 10**7, 0, 10_000, Refusal.MAX_POSITIONS, 0),
    ("the budget is asked before the places", 200_000, 10, 0, 0, 200_001, Refusal.PRICE_ABOVE_BUDGET, 0),
    ("the places are asked before the cash", 200_000, 10, 0, 0, 10_000, Refusal.MAX_POSITIONS, 0),
    ("cash for value and charges to the paisa", 200_000, 0, 200_000 + fee(200_000), 0, 10_000, Refusal.NONE, 20),
    ("a paisa short", 200_000, 0, 199_999 + fee(200_000), 0, 10_000, Refusal.INSUFFICIENT_CASH, 0),
    ("what others hold is not there", 200_000, 1, 200_000 + fee(200_000), 1, 10_000, Refusal.INSUFFICIENT_CASH, 0),
]


@pytest.mark.parametrize(("what", "budget", "slots", "cash", "held", "price", "refusal", "quantity"), ENTRIES)
def test_entry(
    what: str, budget: int, slots: int, cash: int, held: int, price: int, refusal: Refusal, quantity: int
) -> None:
    account = account_of(budget=budget, slots=slots, cash=cash, held=held)
    intent = Intent(7, 3, BUY, price, int(Trigger.SIGNAL))
    found, approved = risk.check_entry(account, TEN, rates_on(DAY), intent)
    assert (Refusal(found), approved.quantity) == (refusal, quantity), what
    value = quantity * price
    assert approved.hold == (value + fee(value) if quantity else 0)
    assert (approved.ts, approved.symbol, approved.side) == (7, 3, BUY)


@pytest.mark.parametrize(
    ("cash", "holdings", "size_bps", "risk_bps", "budget", "at_risk"),
    [
        (20_000_00, 0, 1000, 100, 2_000_00, 200_00),
        (19_999_99, 0, 1000, 100, 1_999_99, 199_99),
        (15_000_00, 5_000_00, 1000, 100, 2_000_00, 200_00),
        (99, 0, 10_000, 101, 99, 0),
        (-1, 0, 1000, 100, -1, -1),
    ],
)
def test_session_starts_from_equity(
    cash: int, holdings: int, size_bps: int, risk_bps: int, budget: int, at_risk: int
) -> None:
    account = account_of(cash=cash, holdings=holdings)
    risk.start_session(account, Limits(size_bps, 10, risk_bps, 0, 0, False))
    assert (account["base"], account["budget"], account["risk"]) == (cash + holdings, budget, at_risk)


@pytest.mark.parametrize(
    ("buy_value", "quantity", "at_risk", "stop_value"),
    [
        (199_800, 6, 20_000, 199_800 - 6 * 3333),
        (200_000, 20, 20_000, 180_000),
        (200_000, 20, 19, 200_000),
        (200_000, 20, 0, 200_000),
        (5_000, 1, 20_000, -15_000),
    ],
)
def test_stop_stands_whole_paise_a_share_below_the_buy_value(
    buy_value: int, quantity: int, at_risk: int, stop_value: int
) -> None:
    position = np.zeros(1, POSITION)[0]
    position["quantity"], position["buy_value"] = quantity, buy_value
    risk.set_stop(account_of(risk=at_risk), position)
    assert position["stop_value"] == stop_value


def test_an_exit_is_approved_whole_and_holds_nothing() -> None:
    approved = risk.approve_exit(17, Intent(5, 2, SELL, 10_000, int(Trigger.STOP)))
    assert (approved.quantity, approved.hold, approved.side, approved.trigger) == (17, 0, SELL, Trigger.STOP)
