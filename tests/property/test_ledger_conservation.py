"""Money and orders over random streams: nothing is made, lost or left hanging, however the stream is cut."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.domain.orders import BUY
from quant_platform.domain.ticks import NOT_FED, TickBatch, cut
from quant_platform.ports.ledger_store import FillRow
from tests.golden.made_up_market import as_batch, some_rows, some_rules
from tests.golden.our_cores import OurCores, days_of, random_pieces, shuffled_table

seeds_with_and_without_depth = given(seed=st.integers(0, 2**32), depth=st.booleans())


class Stream:
    """A random stream with its rules, and as many fresh cores for it as one likes."""

    def __init__(self, seed: int, *, depth: bool) -> None:
        self.random, self.depth = Random(seed), depth
        rules, self.capital = some_rules(self.random)
        # Short periods and bearable slippage: what is meant to be looked at here are the trades.
        self.rules = replace(rules, rsi_period=min(rules.rsi_period, 5), slippage_bps=min(rules.slippage_bps, 40))
        self.rows = some_rows(self.random, depth=depth, pace_ms=60_000)
        self.table = shuffled_table(self.random)

    def cores(self) -> OurCores:
        return OurCores(self.rules, self.capital, self.table, depth=self.depth)

    def days(self) -> Iterator[TickBatch]:
        yield from days_of(as_batch(self.rows, self.table, depth=self.depth))

    def ticks(self) -> Iterator[TickBatch]:
        for day in self.days():
            for i in range(day.ts.size):
                yield cut(day, i, i + 1)


def books_by_hand(cash: int, fills: list[FillRow], prices: dict[str, int]) -> tuple[int, int]:
    """Cash and equity after these fills, from a starting balance and the last prices."""
    held: Counter[str] = Counter()
    for fill in fills:
        cash -= fill.side * fill.value + fill.charges
        held[fill.symbol] += fill.side * fill.quantity
        assert held[fill.symbol] in (0, fill.quantity)
    return cash, cash + sum(quantity * prices[symbol] for symbol, quantity in held.items() if quantity)


def held_back(cores: OurCores) -> tuple[int, int]:
    """Paise held for pending entries, and how many entries pend."""
    orders, fills, ends, _ = cores.journal
    over = {fill.order_no for fill in fills} | {end.order_no for end in ends}
    pending = [order for order in orders if order.side == BUY and order.order_no not in over]
    return int(cores.runtime._account[0]["held"]), len(pending)


@settings(max_examples=30)
@seeds_with_and_without_depth
def test_at_every_moment_cash_and_holdings_are_what_the_fills_made_them(seed: int, depth: bool) -> None:
    stream = Stream(seed, depth=depth)
    cores = stream.cores()
    for day in stream.days():
        for piece in random_pieces(stream.random, day):
            cores.feed(piece)
            prices = {name: cores.runtime.last_price(name) for name in stream.table.names}
            fills = cores.journal[1]
            assert (cores.runtime.cash, cores.runtime.equity) == books_by_hand(stream.capital, fills, prices)
            held, entries = held_back(cores)
            assert held > 0 if entries else held == 0


@settings(max_examples=30)
@seeds_with_and_without_depth
def test_every_evening_is_flat_and_cash_is_the_start_with_all_pnl(seed: int, depth: bool) -> None:
    stream = Stream(seed, depth=depth)
    cores = stream.cores()
    for day in stream.days():
        cores.feed(day)
        cores.end_of_day(int(day.ts.max()))
        orders, fills, ends, _ = cores.journal
        assert not cores.runtime.open_positions()
        assert cores.runtime.cash == cores.runtime.equity == stream.capital + sum(fill.pnl for fill in fills)
        ways_to_end = Counter(fill.order_no for fill in fills) + Counter(end.order_no for end in ends)
        assert ways_to_end == dict.fromkeys(range(1, len(orders) + 1), 1)


@settings(max_examples=15)
@seeds_with_and_without_depth
def test_a_refusal_never_becomes_an_order(seed: int, depth: bool) -> None:
    stream = Stream(seed, depth=depth)
    cores = stream.cores()
    for tick in stream.ticks():
        orders, _, ends, _ = cores.journal
        before = len(orders), sum(cores.runtime.refusals.values()) - refused_at_fill(cores)
        cores.feed(tick)
        refused = sum(cores.runtime.refusals.values()) - refused_at_fill(cores) - before[1]
        new = [order for order in orders[before[0] :] if order.ts == tick.ts[0]]
        assert refused + sum(order.side == BUY for order in new) <= 1
        filled = {fill.order_no for fill in cores.journal[1]}
        assert filled.isdisjoint(end.order_no for end in ends)


def refused_at_fill(cores: OurCores) -> int:
    return sum(end.state == "refused_at_fill" for end in cores.journal[2])


@settings(max_examples=15)
@seeds_with_and_without_depth
def test_max_drawdown_is_the_largest_fall_of_equity_after_any_tick(seed: int, depth: bool) -> None:
    stream = Stream(seed, depth=depth)
    cores = stream.cores()
    peak, largest = stream.capital, 0
    for tick in stream.ticks():
        admitted = cores.admission.on_ticks(tick).ticks
        cores.runtime.on_ticks(cores.features.on_ticks(admitted))
        if admitted.ts.size and not admitted.flags[0] & NOT_FED:
            peak = max(peak, cores.runtime.equity)
            largest = max(largest, peak - cores.runtime.equity)
        assert cores.runtime.max_drawdown == largest


class Told:
    """Everything a run leaves behind, row by row, over all its restarts."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = [[] for _ in range(5)]

    def take(self, cores: OurCores) -> None:
        for kept, more in zip(self.rows, [*cores.journal, cores.runtime.journal.story.equity], strict=True):
            kept.extend(more)


@settings(max_examples=40)
@seeds_with_and_without_depth
def test_any_cut_and_any_restart_from_snapshots_leaves_the_same_rows(seed: int, depth: bool) -> None:
    stream = Stream(seed, depth=depth)
    whole, pieces = stream.cores(), stream.cores()
    of_whole, of_pieces = Told(), Told()
    for day in stream.days():
        whole.feed(day)
        whole.end_of_day(int(day.ts.max()))
    of_whole.take(whole)
    for day in stream.days():
        for piece in random_pieces(stream.random, day):
            pieces.feed(piece)
            if stream.random.random() < 0.02:
                of_pieces.take(pieces)
                state = pieces.snapshot()
                pieces = stream.cores()
                pieces.restore(state)
        pieces.end_of_day(int(day.ts.max()))
    of_pieces.take(pieces)
    assert of_pieces.rows == of_whole.rows
    assert pieces.admission.snapshot() == whole.admission.snapshot()
    assert pieces.runtime.snapshot() == whole.runtime.snapshot()
