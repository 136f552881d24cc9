"""Made-up trading days for the ledger's tests, and the file seen from outside."""

import sqlite3
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.orders import BUY, SELL
from quant_platform.ports.ledger_store import (
    EquityRow,
    FillRow,
    LedgerBlock,
    OpenPosition,
    OrderEndRow,
    OrderRow,
    RefusalRow,
    RunRequest,
)

TABLES = (
    "api_keys",
    "audit_log",
    "consumer_offsets",
    "equity_curve",
    "executed_orders",
    "instruments",
    "orders",
    "outbox",
    "portfolios",
    "positions",
    "refusals",
    "runs",
    "runtime_state",
    "scanner_results",
)
NS = 1_000_000_000
OPEN = 1_754_020_500 * NS
CAPITAL = 20_000_00


def request(**changes: object) -> RunRequest:
    """A demo run of the portfolio ``main``."""
    known: dict[str, object] = {
        "portfolio": "main",
        "mode": "demo",
        "strategy": "momentum",
        "identity": '{"seed": 1}',
        "capital": None,
        "default_capital": CAPITAL,
    }
    return RunRequest(**{**known, **changes})  # type: ignore[arg-type]


def round_trips(start: int = CAPITAL, first_order: int = 1, state: bytes = b"cores") -> Iterator[LedgerBlock]:
    """Buy 10, sell 10, buy, sell …, one fill a block, as live; every sell earns ₹3.00 before charges."""
    cash = start
    for number in count(first_order):
        side = BUY if number % 2 else SELL
        value, charges = (1_400_00, 1_05) if side == BUY else (1_403_00, 1_40)
        cash -= side * value + charges
        ts = OPEN + number * 60 * NS + 7
        held = side == BUY
        yield LedgerBlock(
            orders=[OrderRow(number, ts - NS, "NSE_EQ:TCS", side, 10, 140_00, "price 140.00 above VWAP 139.85")],
            fills=[
                FillRow(
                    number,
                    ts,
                    "NSE_EQ:TCS",
                    side,
                    10,
                    value,
                    charges,
                    0 if held else 3_00,
                    0 if held else 3_00 - 2_45,
                    "below VWAP",
                    at_last_price=False,
                )
            ],
            equity=[EquityRow(ts, cash, cash + (1_400_00 if held else 0))],
            positions=[OpenPosition("NSE_EQ:TCS", 10, value, charges, ts)] if held else [],
            balance=cash,
            last_equity=cash + (1_400_00 if held else 0),
            max_drawdown=2_10,
            counters={"ticks": 100 * number, "late": 2, "duplicates": 3},
            refusal_counts={"max_positions": number},
            moment=ts,
            state=state,
        )


def cancelled_entry(start: int = CAPITAL) -> tuple[LedgerBlock, LedgerBlock]:
    """An entry approved in one block and cancelled in the next."""
    order = OrderRow(1, OPEN, "NSE_EQ:INFY", BUY, 5, 100_00, "x")
    refusal = RefusalRow(OPEN, "NSE_EQ:MRF", "price_above_budget", 90_000_00)
    totals = {"balance": start, "last_equity": start, "state": b"cores"}
    return (
        LedgerBlock(orders=[order], refusals=[refusal], moment=OPEN, **totals),  # type: ignore[arg-type]
        LedgerBlock(
            ends=[OrderEndRow(1, OPEN + NS, "NSE_EQ:INFY", "cancelled", "")],
            moment=OPEN + NS,
            **totals,  # type: ignore[arg-type]
        ),
    )


def everything(path: Path) -> dict[str, list[Any]]:
    """Every row of every table, read without our code."""
    with sqlite3.connect(path) as raw:
        return {table: raw.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA foreign_keys = OFF")
        assert raw.execute(statement).rowcount == 1, "the statement must change something to prove anything"
    raw.close()


@cache
def _empty_ledger() -> bytes:
    with TemporaryDirectory() as folder:
        SqlLedger(Path(folder) / "ledger.sqlite").close()
        return (Path(folder) / "ledger.sqlite").read_bytes()


def ledger_file(folder: Path) -> Path:
    """A new, empty ledger: made once and copied, since the migrations take half a second."""
    path = folder / "ledger.sqlite"
    path.write_bytes(_empty_ledger())
    return path
