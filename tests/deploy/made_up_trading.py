"""Days of the real cores on made-up prices, written into a ledger as a run of the platform writes them."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from random import Random

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.session import IST, session_on
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest
from tests.golden.made_up_market import Walk, as_batch
from tests.golden.reference import Row

SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:RELIANCE", "NSE_EQ:TCS", "NSE_EQ:ZOMEGA")
CAPITAL = 20_000_00
CLOSE = time(15, 30)


def trade(
    ledger: SqlLedger,
    portfolio: str,
    day: date,
    seed: int,
    *,
    mode: str = "demo",
    start: time = time(9, 15),
    until: time = CLOSE,
    until_held: bool = False,
    fresh: bool = False,
) -> str:
    """One day's run, or a part of it; one that does not reach the close leaves its run open, as a killed one.

    Args:
        ledger: takes it.
        portfolio: whose run.
        day: IST date.
        seed: of the prices.
        mode: of the run.
        start: IST, when it begins.
        until: IST, when it is left.
        until_held: leave it as soon as it holds something.
        fresh: begin with the starting balance.

    Returns:
        The run's id.
    """
    strategy, settings = load_strategy("momentum", {})
    table = SymbolTable()
    for symbol in SYMBOLS:
        table.add(symbol)
    identity = f"{seed} {day} {start}"
    begun = ledger.begin(RunRequest(portfolio, mode, strategy.name, identity, None, CAPITAL, fresh=fresh))
    platform = EmbeddedPlatform(Blueprint(strategy, settings, True), table, ledger, begun.balance)
    for rows in _pieces(day, seed, start, until):
        platform.on_ticks(as_batch(rows, table, depth=True))
        platform.commit(b"state")
        if until_held and ledger.positions(portfolio):
            return begun.run_id
    if until == CLOSE:
        session = session_on(day)
        assert session is not None
        platform.on_clock(session.last_close_ns)
        platform.runtime.mark_close(session.last_close_ns)
        platform.commit()
        ledger.finish()
    return begun.run_id


def _pieces(day: date, seed: int, start: time, until: time) -> Sequence[list[Row]]:
    """Five minutes each: four symbols, a tick every ten seconds."""
    random = Random(seed)
    walks = [Walk(random, symbol, depth=True, tick=5) for symbol in SYMBOLS]
    for walk in walks:
        walk.price = random.randint(2_000, 15_000) // 5 * 5
        walk.emptiness = walk.silence = 0.0
    found = []
    now = datetime.combine(day, start, IST)
    while now < datetime.combine(day, until, IST):
        first = int(now.timestamp()) * NS_PER_SECOND
        found.append([walk.row(first + n * 10 * NS_PER_SECOND) for n in range(30) for walk in walks])
        now += timedelta(minutes=5)
    return found
