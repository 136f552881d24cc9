"""A portfolio passes from one program to another while the first one is amid a commit, or stands still in it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from quant_platform.adapters.ledger import engine
from quant_platform.adapters.ledger.sql import SqlLedger, utc_now
from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import FencedError, UnavailableError
from quant_platform.ports.ledger_store import LedgerBlock, OutboxRow, RunStart
from tests.servers import Database

from .ledger_days import CAPITAL, request, round_trips

IDLE_S = 0.5


class Meanwhile(list[OutboxRow]):
    """Records of a block; something is done amid the commit that writes them."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__([OutboxRow("orders.events", "NSE_EQ:TCS", b"{}")])
        self._act = act

    def __iter__(self) -> Iterator[OutboxRow]:
        self._act()
        return super().__iter__()


@pytest.fixture
def first(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlLedger]:
    """A writer with one block, on a server that waits for nobody for long."""
    monkeypatch.setattr(engine, "IDLE_SECONDS", IDLE_S)
    with SqlLedger(database.url) as ledger:
        ledger.begin(request())
        ledger.commit(next(round_trips()))
        yield ledger


@pytest.fixture
def second(database: Database) -> Iterator[SqlLedger]:
    with SqlLedger(database.url) as ledger:
        yield ledger


def second_block(act: Callable[[], None]) -> LedgerBlock:
    blocks = round_trips()
    next(blocks)
    return replace(next(blocks), outbox=Meanwhile(act))


def test_who_stands_still_between_statements_of_a_commit_keeps_no_writer_out(
    first: SqlLedger, second: SqlLedger
) -> None:
    starts: list[RunStart] = []
    block = second_block(lambda: starts.append(second.begin(request())))
    with pytest.raises(UnavailableError, match="cannot be reached or written"):
        first.commit(block)
    assert starts[0].resumed_at == next(round_trips()).moment, "nothing of the commit was done"
    second.commit(replace(block, outbox=[]))
    assert second.finish().fills == 2
    assert second.verify_audit() > 0


def test_who_stands_still_between_statements_of_a_commit_keeps_no_owner_out(
    first: SqlLedger, second: SqlLedger
) -> None:
    def order() -> None:
        second.command(Halt.OUT, "stuck", "owner", utc_now())

    block = second_block(order)
    with pytest.raises(UnavailableError, match="cannot be reached or written"):
        first.commit(block)
    assert first.look_for_halt().square_off
    block = second_block(lambda: second.reset("main"))
    with pytest.raises(UnavailableError, match="cannot be reached or written"):
        first.commit(block)
    [portfolio] = second.portfolios()
    assert portfolio.balance == CAPITAL


def test_who_comes_amid_a_commit_goes_on_from_what_it_commits(
    database: Database, first: SqlLedger, second: SqlLedger
) -> None:
    starts: list[RunStart] = []
    taker = threading.Thread(target=lambda: starts.append(second.begin(request())))

    def taken_over() -> None:
        taker.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with database.connect() as connection:
            while connection.execute(waiting).fetchone() == (0,):
                pass

    block = second_block(taken_over)
    first.commit(block)
    taker.join()
    assert (starts[0].resumed_at, starts[0].balance) == (block.moment, block.balance)
    assert second.finish().fills == 2


def test_a_writer_that_lost_its_connection_comes_back_only_where_nobody_followed_it(
    first: SqlLedger, second: SqlLedger
) -> None:
    mine = first.begin(request())
    again = first.begin(request(epoch=mine.epoch))
    assert (again.run_id, again.epoch) == (mine.run_id, mine.epoch + 1)
    theirs = second.begin(request())
    with pytest.raises(FencedError, match="another program has taken over portfolio 'main'"):
        first.begin(request(epoch=again.epoch))
    second.finish()
    with pytest.raises(FencedError):
        first.begin(request(epoch=again.epoch))
    assert second.begin(request(epoch=theirs.epoch)).run_id != theirs.run_id, "a finished one is followed by a new one"
