"""The SQL ledger on a real SQLite file: transactions, idempotence, audit, resumption, numbers."""

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import LedgerError, UsageError
from quant_platform.domain.instruments import nifty_100
from quant_platform.domain.orders import BUY, SELL
from quant_platform.ports.ledger_store import (
    EquityRow,
    FillRow,
    LedgerBlock,
    LedgerStore,
    OpenPosition,
    OrderEndRow,
    OrderRow,
    RefusalRow,
    RunRequest,
    RunSummary,
)
from quant_platform.ports.ledger_views import ScanPick

TABLES = (
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
            ends=[OrderEndRow(1, OPEN + NS, "cancelled", "")],
            moment=OPEN + NS,
            **totals,  # type: ignore[arg-type]
        ),
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger just made, to be copied: making one takes half a second."""
    made = tmp_path_factory.mktemp("empty") / "ledger.sqlite"
    SqlLedger(made).close()
    return made


@pytest.fixture
def path(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty, tmp_path))


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    with SqlLedger(path) as opened:
        yield opened


def everything(path: Path) -> dict[str, list[Any]]:
    """Every row of every table, read without our code."""
    with sqlite3.connect(path) as raw:
        return {table: raw.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA foreign_keys = OFF")
        assert raw.execute(statement).rowcount == 1, "the statement must change something to prove anything"
    raw.close()


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


def test_a_block_written_twice_is_refused_and_changes_nothing(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    first, second = islice(round_trips(), 2)
    ledger.commit(first)
    ledger.commit(second)
    before = everything(path)
    with pytest.raises(LedgerError):
        ledger.commit(second)
    assert everything(path) == before


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


def test_a_crash_between_any_two_statements_leaves_nothing_half_written(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    first, second = islice(round_trips(), 2)
    ledger.commit(first)
    before = everything(path)
    statements: list[str] = []
    crash_at = 1

    def crash(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        statements.append(statement)
        if len(statements) == crash_at:
            raise KeyboardInterrupt

    event.listen(ledger._engine, "before_cursor_execute", crash)
    while True:
        statements.clear()
        try:
            ledger.commit(second)
        except KeyboardInterrupt:
            assert everything(path) == before, statements[-1]
            crash_at += 1
        else:
            break
    event.remove(ledger._engine, "before_cursor_execute", crash)
    assert crash_at > 7, "orders, executions, positions, curve, portfolio, run and audit row are statements"
    assert everything(path) != before
    assert ledger.verify_audit() == 4


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


def test_an_interrupted_run_resumes_at_its_last_commit(path: Path) -> None:
    first, second, third, fourth = islice(round_trips(), 4)
    with SqlLedger(path) as ledger:
        ledger.begin(request(mode="replay", capital=CAPITAL))
        ledger.commit(first)
        ledger.commit(second)
        ledger.commit(replace(third, state=b"third"))
    with SqlLedger(path) as ledger:
        start = ledger.begin(request(mode="replay", capital=CAPITAL))
        assert (start.run_id, start.starting_balance, start.balance) == ("main-0001", CAPITAL, third.balance)
        assert (start.resumed_at, start.state) == (third.moment, b"third")
        ledger.commit(fourth)
        numbers = ledger.finish()
        assert (numbers.fills, numbers.round_trips, numbers.net_pnl) == (4, 2, 1_10)
        assert ledger.verify_audit() == 8
        assert [(p.runs, p.last_run_state) for p in ledger.portfolios()] == [(1, "complete")]


def test_a_resumed_ledger_equals_an_undisturbed_one(tmp_path: Path) -> None:
    with SqlLedger(tmp_path / "whole.sqlite") as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), 8):
            ledger.commit(block)
        undisturbed = ledger.finish()
    for block in islice(round_trips(), 8):
        with SqlLedger(tmp_path / "cut.sqlite") as ledger:
            ledger.begin(request())
            ledger.commit(block)
    with SqlLedger(tmp_path / "cut.sqlite") as ledger:
        ledger.begin(request())
        assert ledger.finish() == undisturbed


@pytest.mark.parametrize("changed", [{"fresh": True}, {"identity": '{"seed": 2}'}])
def test_another_run_or_a_fresh_one_does_not_resume(path: Path, changed: dict[str, Any]) -> None:
    buy = next(round_trips())
    with SqlLedger(path) as ledger:
        ledger.begin(request())
        ledger.commit(buy)
        start = ledger.begin(request(**changed))
        assert (start.run_id, start.resumed_at, start.state) == ("main-0002", None, b"")
        assert start.balance == CAPITAL, "what the open position cost is given back"
        assert ledger.positions() == []
        assert ledger.run_summary("main-0001").fills == 1, "the interrupted run stays as history"
        assert ledger.verify_audit() == 5


def test_a_run_without_snapshots_does_not_resume(path: Path) -> None:
    with SqlLedger(path, durable=False) as ledger:
        ledger.begin(request(mode="backtest"))
        for block in islice(round_trips(state=b""), 2):
            ledger.commit(block)
        start = ledger.begin(request(mode="backtest"))
    assert (start.run_id, start.resumed_at, start.balance) == ("main-0002", None, CAPITAL)


def test_a_portfolio_goes_on_with_its_balance(path: Path) -> None:
    with SqlLedger(path) as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), 2):
            ledger.commit(block)
        ledger.finish()
    with SqlLedger(path) as ledger:
        start = ledger.begin(request())
        assert (start.starting_balance, start.balance) == (CAPITAL + 55, CAPITAL + 55)
        for block in islice(round_trips(start.balance), 2):
            ledger.commit(block)
        assert ledger.finish().net_pnl == 55
        assert [order.run_id for order in ledger.orders()] == ["main-0002"] * 2 + ["main-0001"] * 2


@pytest.mark.parametrize(
    ("changed", "balance"),
    [
        ({"capital": 5_000_00}, 5_000_00),
        ({"fresh": True}, CAPITAL),
        ({"mode": "replay"}, CAPITAL),
        ({"mode": "backtest", "capital": 1_00}, 1_00),
    ],
)
def test_capital_fresh_and_replays_start_anew(path: Path, changed: dict[str, Any], balance: int) -> None:
    with SqlLedger(path) as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), 2):
            ledger.commit(block)
        ledger.finish()
        start = ledger.begin(request(**changed))
        assert (start.starting_balance, start.balance) == (balance, balance)
        assert ledger.portfolios()[0].starting_balance == balance
        ledger.verify_audit()


def test_the_older_of_two_writers_is_fenced_off(path: Path) -> None:
    first, second = islice(round_trips(), 2)
    with SqlLedger(path) as older, SqlLedger(path) as newer:
        older.begin(request())
        older.commit(first)
        newer.begin(request())
        with pytest.raises(LedgerError, match="taken over"):
            older.commit(second)
        newer.commit(second)
        with pytest.raises(LedgerError, match="taken over"):
            older.finish()
        assert newer.finish().fills == 2


def test_reset_gives_the_starting_balance_and_fences_the_writer_off(path: Path, ledger: SqlLedger) -> None:
    first, second = islice(round_trips(), 2)
    ledger.begin(request())
    ledger.commit(first)
    with SqlLedger(path) as other:
        other.reset("main")
        assert [(p.balance, p.open_positions, p.last_run_state) for p in other.portfolios()] == [
            (CAPITAL, 0, "interrupted")
        ]
        with pytest.raises(UsageError, match="no portfolio 'nobody'"):
            other.reset("nobody")
    with pytest.raises(LedgerError, match="taken over"):
        ledger.commit(second)
    assert ledger.begin(request()).run_id == "main-0002"
    assert ledger.verify_audit() == 5


def test_portfolios_are_apart(ledger: SqlLedger, path: Path) -> None:
    with SqlLedger(path) as other:
        ledger.begin(request())
        other.begin(request(portfolio="second", default_capital=50_000_00))
        for ours, theirs in zip(islice(round_trips(), 3), islice(round_trips(50_000_00), 3), strict=True):
            ledger.commit(ours)
            other.commit(theirs)
        assert [(p.name, p.open_positions) for p in ledger.portfolios()] == [("main", 1), ("second", 1)]
        assert len(ledger.orders(portfolio="second")) == 3
        assert len(ledger.orders(run="main-0001", limit=2)) == 2
        assert [p.portfolio for p in ledger.positions()] == ["main", "second"]
        assert ledger.verify_audit() == 10


def test_the_equity_curve_holds_the_last_word_on_a_moment(ledger: SqlLedger) -> None:
    ledger.begin(request())
    points = [EquityRow(OPEN, CAPITAL, 1), EquityRow(OPEN + 1, CAPITAL, 2), EquityRow(OPEN + 1, CAPITAL, 3)]
    ledger.commit(LedgerBlock(equity=points, balance=CAPITAL, moment=OPEN + 1))
    ledger.commit(LedgerBlock(equity=[EquityRow(OPEN + 1, CAPITAL, 4)], balance=CAPITAL, moment=OPEN + 1))
    assert ledger.equity("main-0001") == [EquityRow(OPEN, CAPITAL, 1), EquityRow(OPEN + 1, CAPITAL, 4)]


def test_scans_and_instruments_are_replaced(path: Path, ledger: SqlLedger) -> None:
    ledger.save_scan(OPEN, [ScanPick("NSE_EQ:A", 1.5, 100_05, 7), ScanPick("NSE_EQ:B", 1.25, 1, 8)])
    ledger.save_scan(OPEN, [ScanPick("NSE_EQ:C", 2.5, 100_05, 7)])
    ledger.save_instruments(nifty_100())
    ledger.save_instruments(nifty_100()[:2])
    rows = everything(path)
    assert rows["scanner_results"] == [("2025-08-01 03:55:00.000000+00:00", "NSE_EQ:C", 2.5, "100.05", 7)]
    assert [row[1:4] for row in rows["instruments"]] == [("NSE", "NSE_EQ", i.symbol) for i in nifty_100()[:2]]


def test_work_without_a_run_is_an_error(ledger: SqlLedger) -> None:
    for work in (ledger.summary, ledger.finish, lambda: ledger.commit(LedgerBlock())):
        with pytest.raises(LedgerError, match=r"begin\(\)"):
            work()
    with pytest.raises(UsageError, match="no run 'x'"):
        ledger.run_summary("x")


FILLS = 12


def joined(first: LedgerBlock, second: LedgerBlock) -> LedgerBlock:
    return replace(
        second,
        orders=[*first.orders, *second.orders],
        fills=[*first.fills, *second.fills],
        equity=[*first.equity, *second.equity],
    )


def written(sizes: list[int], repeats: list[bool]) -> RunSummary:
    blocks = islice(round_trips(), FILLS)
    with TemporaryDirectory() as folder, SqlLedger(Path(folder) / "ledger.sqlite", durable=False) as ledger:
        ledger.begin(request())
        for size, twice in zip(sizes, repeats, strict=False):
            part = list(islice(blocks, size))
            if not part:
                break
            block = reduce(joined, part)
            ledger.commit(block)
            if twice:
                try:
                    ledger.commit(block)
                except LedgerError:
                    continue
                raise AssertionError("a block written twice was taken")
        for block in blocks:
            ledger.commit(block)
        ledger.verify_audit()
        return ledger.finish()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, FILLS), min_size=1, max_size=FILLS),
    st.lists(st.booleans(), min_size=FILLS, max_size=FILLS),
)
def test_blocks_and_duplicates_make_no_difference(sizes: list[int], repeats: list[bool]) -> None:
    assert written(sizes, repeats) == written([FILLS], [False])
