"""Every ledger: the numbers of a run, and what it refuses."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from quant_platform.adapters.ledger.memory import MemoryLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import LedgerError
from quant_platform.ports.ledger_store import HaltFlag, LedgerStore
from tests.integration import ledger_days
from tests.integration.ledger_days import CAPITAL, NS, OPEN, cancelled_entry, round_trips
from tests.servers import Database


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    if request.param == "memory":
        opened: LedgerStore = MemoryLedger()
    elif request.param == "sqlite":
        opened = SqlLedger(tmp_path / "ledger.sqlite")
    else:
        database: Database = request.getfixturevalue("database")
        opened = SqlLedger(database.url)
    yield opened
    opened.close()


def test_the_numbers_of_a_run_are_those_of_its_fills(ledger: LedgerStore) -> None:
    start = ledger.begin(ledger_days.request())
    assert (start.starting_balance, start.balance, start.resumed_at) == (CAPITAL, CAPITAL, None)
    assert ledger.halt == HaltFlag()
    for block in islice(round_trips(), 6):
        ledger.commit(replace(block, counters={"ticks": 9, "late": 2, "duplicates": 1}, max_drawdown=77))
    assert ledger.summary().round_trips == 3
    found = ledger.finish()
    assert (found.ticks, found.late, found.duplicates, found.max_drawdown) == (9, 2, 1, 77)
    assert (found.orders, found.fills, found.cancelled, found.round_trips) == (6, 6, 0, 3)
    assert (found.gross_pnl, found.charges, found.net_pnl) == (900, 3 * 245, 900 - 3 * 245)
    assert (found.starting_balance, found.ending_balance) == (CAPITAL, CAPITAL + 900 - 3 * 245)
    lines = [
        f"{OPEN + (2 * n + 1) * 60 * NS + 7}|NSE_EQ:TCS|BUY|10|140000|105|0\n"
        f"{OPEN + (2 * n + 2) * 60 * NS + 7}|NSE_EQ:TCS|SELL|10|140300|140|55\n"
        for n in range(3)
    ]
    assert found.ledger_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_an_order_that_ended_without_a_fill_is_counted(ledger: LedgerStore) -> None:
    ledger.begin(ledger_days.request())
    for block in cancelled_entry():
        ledger.commit(replace(block, refusal_counts={"price_above_budget": 4}))
    found = ledger.finish()
    assert (found.orders, found.fills, found.cancelled) == (1, 0, 1)
    assert dict(found.refusals) == {"price_above_budget": 4}


@pytest.mark.parametrize("changed", [{"balance": 1}, {"positions": []}])
def test_a_block_that_does_not_follow_from_its_fills_is_refused(ledger: LedgerStore, changed: dict[str, Any]) -> None:
    ledger.begin(ledger_days.request())
    with pytest.raises(LedgerError):
        ledger.commit(replace(next(round_trips()), **changed))


def test_without_a_run_there_is_nothing_to_write_or_to_finish(ledger: LedgerStore) -> None:
    with pytest.raises(LedgerError, match="begin"):
        ledger.commit(next(round_trips()))
    with pytest.raises(LedgerError, match="begin"):
        ledger.finish()
