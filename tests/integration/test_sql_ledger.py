"""The SQL ledger on a real SQLite file: transactions, idempotence, audit and numbers."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import LedgerError, UsageError
from quant_platform.ports.ledger_store import (
    LedgerBlock,
    LedgerStore,
    OutboxRow,
)

from .ledger_days import CAPITAL, NS, OPEN, cancelled_entry, everything, ledger_file, request, round_trips, tamper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_file(tmp_path)


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    with SqlLedger(path) as opened:
        yield opened


def test_it_is_a_ledger_store(ledger: SqlLedger) -> None:
    store: LedgerStore = ledger
    assert store is ledger


def test_money_is_stored_as_exact_rupees_and_times_as_utc(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    ledger.commit(next(round_trips()))
    with sqlite3.connect(path) as raw:
        row = raw.execute("SELECT price, value, charges, timestamp, ts_ns FROM executed_orders").fetchone()
        cash = raw.execute("SELECT balance, equity FROM portfolios").fetchone()
    assert row == ("140.0000", "1400.00", "1.05", "2025-08-01 03:56:00.000000+00:00", OPEN + 60 * NS + 7)
    assert cash == ("18598.95", "19998.95")


def test_the_outbox_is_published_in_order_some_at_a_time_until_nothing_is_left(ledger: SqlLedger) -> None:
    rows = [OutboxRow("orders.events", "NSE_EQ:TCS", b'{"number":%d}' % number) for number in range(7)]
    ledger.begin(request())
    ledger.commit(replace(next(round_trips()), outbox=rows))
    told: list[list[OutboxRow]] = []
    assert ledger.publish(lambda some: told.append(list(some)), most=3) == 7
    assert told == [rows[:3], rows[3:6], rows[6:]]
    assert ledger.publish(lambda some: told.append(list(some))) == 0
    assert len(told) == 3


def test_a_fill_whose_order_was_filled_already_is_refused_by_the_unique_key(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    buy, sell = islice(round_trips(), 2)
    ledger.commit(buy)
    before = everything(path)
    again = replace(sell, fills=[sell.fills[0]._replace(order_no=1)], orders=[])
    with pytest.raises(LedgerError, match="has already"):
        ledger.commit(again)
    assert everything(path) == before
    ledger.commit(sell)


def test_an_order_ends_once(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    approved, cancelled = cancelled_entry()
    ledger.commit(approved)
    assert [order.state for order in ledger.orders()] == ["pending"]
    ledger.commit(cancelled)
    before = everything(path)
    with pytest.raises(LedgerError, match="main-0001-000001"):
        ledger.commit(cancelled)
    assert everything(path) == before
    assert [(order.state, order.executed_at) for order in ledger.orders()] == [("cancelled", None)]
    assert ledger.summary().cancelled == 1


@pytest.mark.parametrize("changed", [{"balance": 1}, {"positions": []}])
def test_a_block_whose_totals_do_not_follow_from_its_fills_is_refused(
    path: Path, ledger: SqlLedger, changed: dict[str, Any]
) -> None:
    ledger.begin(request())
    before = everything(path)
    with pytest.raises(LedgerError, match="the block says"):
        ledger.commit(replace(next(round_trips()), **changed))
    assert everything(path) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET after = replace(after, '3.00', '3.01') WHERE seq = 4",
        "UPDATE audit_log SET what = 'order lost' WHERE seq = 3",
        "UPDATE audit_log SET ts_ns = ts_ns + 1 WHERE seq = 1",
        "UPDATE audit_log SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 6",
        "UPDATE executed_orders SET pnl = '99.00' WHERE seq = 2",
        "UPDATE executed_orders SET ts_ns = ts_ns + 1 WHERE seq = 4",
        "UPDATE executed_orders SET charges = '0.00' WHERE seq = 1",
        "DELETE FROM executed_orders WHERE seq = 3",
        "DELETE FROM executed_orders WHERE seq = 4",
        "UPDATE portfolios SET balance = '99999.00'",
        (
            "INSERT INTO executed_orders SELECT run_id, 99, 'x', portfolio_id, strategy_id, timestamp, ts_ns, symbol, "
            "transaction_type, quantity, price, value, charges, gross, pnl, reason, closed_at_last_price "
            "FROM executed_orders WHERE seq = 1"
        ),
    ],
)
def test_the_audit_chain_shows_any_tampering(path: Path, ledger: SqlLedger, statement: str) -> None:
    ledger.begin(request())
    for block in islice(round_trips(), 4):
        ledger.commit(block)
    assert ledger.verify_audit() == 6
    tamper(path, statement)
    with pytest.raises(LedgerError, match=r"not what was written|in no audit row|it was written to"):
        ledger.verify_audit()


def test_numbers_and_hash_come_from_the_stored_rows(ledger: SqlLedger) -> None:
    start = ledger.begin(request())
    blocks = list(islice(round_trips(), 4))
    for block in blocks:
        ledger.commit(block)
    lines = "".join(
        f"{OPEN + n * 60 * NS + 7}|NSE_EQ:TCS|" + ("BUY|10|140000|105|0\n" if n % 2 else "SELL|10|140300|140|55\n")
        for n in (1, 2, 3, 4)
    )
    running = ledger.summary()
    numbers = ledger.finish()
    assert running == numbers == ledger.summary() == ledger.run_summary(start.run_id)
    assert numbers.ledger_sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert numbers == replace(
        numbers,
        run_id="main-0001",
        ticks=400,
        late=2,
        duplicates=3,
        orders=4,
        fills=4,
        cancelled=0,
        round_trips=2,
        gross_pnl=6_00,
        charges=4_90,
        net_pnl=1_10,
        starting_balance=CAPITAL,
        ending_balance=CAPITAL + 1_10,
        max_drawdown=2_10,
        refusals={"max_positions": 4},
    )


def test_a_balance_that_the_orders_do_not_lead_to_is_reported(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    for block in islice(round_trips(), 2):
        ledger.commit(block)
    tamper(path, "UPDATE runs SET balance = '20000.00'")
    with pytest.raises(LedgerError, match=r"20000\.55 by its orders and at 20000\.00"):
        ledger.finish()


def test_work_without_a_run_is_an_error(ledger: SqlLedger) -> None:
    for work in (ledger.summary, ledger.finish, lambda: ledger.commit(LedgerBlock())):
        with pytest.raises(LedgerError, match=r"begin\(\)"):
            work()
    with pytest.raises(UsageError, match="no run 'x'"):
        ledger.run_summary("x")
