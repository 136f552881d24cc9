"""Where runs begin: resumption, starting anew, several portfolios and writers."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import islice
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
from quant_platform.ports.ledger_store import (
    EquityRow,
    LedgerBlock,
    RunSummary,
)
from quant_platform.ports.ledger_views import ScanPick

from .ledger_days import CAPITAL, OPEN, everything, ledger_file, request, round_trips

FILLS = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_file(tmp_path)


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    with SqlLedger(path) as opened:
        yield opened


def test_a_block_written_twice_is_refused_and_changes_nothing(path: Path, ledger: SqlLedger) -> None:
    ledger.begin(request())
    first, second = islice(round_trips(), 2)
    ledger.commit(first)
    ledger.commit(second)
    before = everything(path)
    with pytest.raises(LedgerError):
        ledger.commit(second)
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


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledger_days import request, round_trips
from quant_platform.adapters.ledger.sql import SqlLedger
ledger = SqlLedger(Path(sys.argv[1]))
start = ledger.begin(request())
done = len(ledger.orders(run=start.run_id))
for block in round_trips(start.balance, first_order=done + 1):
    ledger.commit(block)
    done += 1
    print(done, flush=True)
"""


def test_a_killed_writer_loses_no_commit_and_goes_on(path: Path) -> None:
    here = str(Path(__file__).parent)
    said = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), here], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(11):
                said = int(writer.stdout.readline())
            writer.kill()
            said = max([said, *map(int, writer.stdout.read().split())])
        with SqlLedger(path) as ledger:
            written = ledger.run_summary("main-0001").fills
            assert written in {said, said + 1}, "the last commit may have been killed before it was told"
            assert ledger.verify_audit() >= written
    with SqlLedger(path) as ledger:
        assert [view.runs for view in ledger.portfolios()] == [1]


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
