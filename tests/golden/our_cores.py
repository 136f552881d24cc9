"""The platform's cores on a made-up stream, cut as one likes, and the numbers they come to."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from datetime import time
from random import Random
from typing import Any

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.orders import BUY
from quant_platform.domain.session import ist_date, session_on
from quant_platform.domain.ticks import TickBatch, cut, trading_day
from quant_platform.ports.ledger_store import FillRow, OrderEndRow, OrderRow, RefusalRow
from quant_platform.services.feature_engine.engine import FeatureEngine
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import split_parameters
from quant_platform.services.strategy_runtime.strategies.momentum import Momentum
from quant_platform.services.strategy_runtime.strategy import Strategy

from .made_up_market import CAS, OTHER, as_batch
from .reference import Row, Rules


def parameters_of(rules: Rules) -> dict[str, str]:
    """The rules as ``--set`` texts."""
    texts = {}
    for name, value in dataclasses.asdict(rules).items():
        texts[name] = "" if value is None else value.isoformat() if isinstance(value, time) else str(value)
    return texts


def shuffled_table(random: Random) -> SymbolTable:
    """All symbols, numbered in an order that is not the alphabet's."""
    table = SymbolTable()
    for name in random.sample([*CAS, *OTHER], len(CAS) + len(OTHER)):
        table.add(name, name in CAS)
    return table


class OurCores:
    """Admission → FeatureEngine → StrategyRuntime, with the hosts left out."""

    def __init__(
        self, rules: Rules, capital: int, table: SymbolTable, *, depth: bool, strategy: Strategy | None = None
    ) -> None:
        settings, own = split_parameters(parameters_of(rules), Momentum.Parameters)
        self.capital = capital
        self.admission = Admission(table)
        self.features = FeatureEngine(settings.rsi_period, settings.sma_period, depth=depth)
        self.runtime = StrategyRuntime(strategy or Momentum(own), settings, table, depth=depth, balance=capital)
        self.ticks = self.late = self.duplicates = 0

    def feed(self, ticks: TickBatch) -> None:
        self.ticks += ticks.ts.size
        admitted = self.admission.on_ticks(ticks)
        self.late += admitted.late
        self.duplicates += admitted.duplicates
        self.runtime.on_ticks(self.features.on_ticks(admitted.ticks))

    def end_of_day(self, ts: int) -> None:
        session = session_on(ist_date(ts))
        if session is not None:
            self.runtime.on_clock(session.last_close_ns)

    def snapshot(self) -> tuple[bytes, bytes, bytes]:
        return self.admission.snapshot(), self.features.snapshot(), self.runtime.snapshot()

    def restore(self, state: tuple[bytes, bytes, bytes]) -> None:
        self.admission.restore(state[0])
        self.features.restore(state[1])
        self.runtime.restore(state[2])

    @property
    def journal(self) -> tuple[list[OrderRow], list[FillRow], list[OrderEndRow], list[RefusalRow]]:
        found = self.runtime.journal.story
        return list(found.orders), list(found.fills), list(found.ends), list(found.refusals)

    def answer(self) -> dict[str, object]:
        """The numbers that a backtest prints, money in paise."""
        orders, fills, ends, _ = self.journal
        sells = [fill for fill in fills if fill.side != BUY]
        return {
            "ticks": self.ticks,
            "late": self.late,
            "duplicates": self.duplicates,
            "orders": len(orders),
            "fills": len(fills),
            "cancelled": sum(end.state == "cancelled" for end in ends),
            "round_trips": len(sells),
            "gross_pnl": sum(fill.gross for fill in sells),
            "charges": sum(fill.charges for fill in fills),
            "net_pnl": sum(fill.pnl for fill in fills),
            "starting_balance": self.capital,
            "ending_balance": self.runtime.cash,
            "max_drawdown": self.runtime.max_drawdown,
            "refusals": self.runtime.refusals,
            "ledger_sha256": hashlib.sha256("".join(ledger_lines(fills)).encode()).hexdigest(),
        }


def ledger_lines(fills: Sequence[FillRow]) -> list[str]:
    """The lines that the ledger's hash is taken over."""
    return [
        f"{f.ts}|{f.symbol}|{'BUY' if f.side == BUY else 'SELL'}|{f.quantity}|{f.value}|{f.charges}|{f.pnl}\n"
        for f in fills
    ]


def days_of(batch: TickBatch) -> Iterator[TickBatch]:
    """The stream date by date; a late row from an earlier date stays where it arrived."""
    latest, start = 0, 0
    for i, ts in enumerate(batch.ts.tolist()):
        day = trading_day(ts)
        if day > latest:
            if latest:
                yield cut(batch, start, i)
            latest, start = day, i
    yield cut(batch, start, batch.ts.size)


def random_pieces(random: Random, batch: TickBatch) -> Iterator[TickBatch]:
    """A batch cut at random, now and then into nothing."""
    largest = random.choice((1, 7, 300, 100_000))
    start = 0
    while start < batch.ts.size:
        stop = min(batch.ts.size, start + random.randint(0 if largest > 1 else 1, largest))
        yield cut(batch, start, stop)
        start = stop


def run(rows: Sequence[Row], rules: Rules, capital: int, random: Random, **kind: Any) -> OurCores:
    """The whole stream through the cores, cut at random, between dates or across them."""
    table = shuffled_table(random)
    cores = OurCores(rules, capital, table, **kind)
    batch = as_batch(rows, table, depth=kind["depth"])
    for part in [batch] if random.random() < 0.5 else days_of(batch):
        for piece in random_pieces(random, part):
            cores.feed(piece)
        cores.end_of_day(int(part.ts.max()))
    return cores
