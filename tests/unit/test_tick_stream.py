"""Frames become records, and clocks say when the ticks before them came in."""

import time
from datetime import date
from datetime import time as clock_time

import pytest

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.records import BAR, CLOCK, TICK, ClockRecord, Reader, encode
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_MS
from quant_platform.domain.topics import EQUITY_TICKS
from quant_platform.hosts.distributed.intake import take
from quant_platform.hosts.distributed.tick_stream import TickStream
from quant_platform.hosts.health import Health
from quant_platform.ports.broker import Candle
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.ingestion.normalise import Normaliser

T0 = ns_at(date(2026, 4, 24), clock_time(9, 15))
KEY = "NSE_EQ|INE467B01029"
PARTITIONS = 3


class Rig:
    """A stream of one symbol onto a bus in memory."""

    def __init__(self, *, lockstep: bool) -> None:
        self.bus = MemoryBus(PARTITIONS)
        self.bus.ensure([EQUITY_TICKS])
        table, health = SymbolTable(), Health("upstox_ingestor")
        normaliser = Normaliser(table, {KEY: table.add("NSE_EQ:TCS")})
        frames = health.counter("quant_feed_frames_total", "")
        self._writer = self.bus.writer()
        self.stream = TickStream(
            table, normaliser, self._writer, PARTITIONS, health, frames, now_ns=None, lockstep=lockstep
        )
        self._read = Reader(ClockRecord).read

    def frame(self, milliseconds: int, received_ns: int) -> None:
        """One frame with one tick."""
        frame = wire.FeedResponse(type=wire.live_feed, currentTs=T0 // NS_PER_MS + milliseconds)
        ltpc = frame.feeds[KEY].fullFeed.marketFF.ltpc
        ltpc.ltp, ltpc.ltq = 100.0 + milliseconds, 1
        self.stream.on_frame(frame.SerializeToString(), received_ns)

    def kinds(self) -> list[str]:
        """Of the records in the symbol's partition, in order; nothing where no tick was sent."""
        self._writer.flush()
        partitions = [[record.kind for record in each] for each in self.bus.topics[EQUITY_TICKS.name]]
        return next((kinds for kinds in partitions if TICK in kinds), [])

    def clocks(self) -> list[ClockRecord]:
        """What every partition was told alike."""
        self._writer.flush()
        told = [
            [self._read(record.value) for record in partition if record.kind == CLOCK]
            for partition in self.bus.topics[EQUITY_TICKS.name]
        ]
        assert told[1:] == told[:-1]
        return list(told[0])


def test_a_clock_says_when_the_first_tick_of_each_stamp_before_it_came_in() -> None:
    rig = Rig(lockstep=False)
    an_hour_ago = time.time_ns() - 60 * NS_PER_MINUTE
    rig.frame(0, time.perf_counter_ns() - 60 * NS_PER_MINUTE)
    rig.frame(0, time.perf_counter_ns())
    rig.frame(1, time.perf_counter_ns())
    rig.stream.let_go()
    [clock] = rig.clocks()
    assert clock.ts == T0 + NS_PER_MS
    received = dict(clock.receipts)
    assert list(received) == [T0, T0 + NS_PER_MS]
    assert abs(received[T0] - an_hour_ago) < 10 * NS_PER_MINUTE
    assert abs(received[T0 + NS_PER_MS] - time.time_ns()) < 10 * NS_PER_MINUTE


def test_ticks_are_let_go_once_and_a_clock_without_ticks_knows_of_no_receipt() -> None:
    rig = Rig(lockstep=False)
    rig.stream.let_go()
    assert rig.clocks() == []
    rig.frame(0, time.perf_counter_ns())
    rig.stream.let_go()
    rig.stream.let_go()
    rig.stream.tell_time(T0 + 7)
    assert [(clock.ts, len(clock.receipts)) for clock in rig.clocks()] == [(T0, 1), (T0 + 7, 0)]


def test_a_tick_waits_for_its_clock_and_stands_before_it() -> None:
    rig = Rig(lockstep=False)
    rig.frame(0, time.perf_counter_ns())
    assert rig.kinds() == []
    rig.stream.let_go()
    assert rig.kinds() == [TICK, CLOCK]


def test_a_late_tick_whose_clock_is_gone_has_the_next_moment_for_its_own() -> None:
    rig = Rig(lockstep=False)
    rig.frame(7, time.perf_counter_ns())
    rig.stream.let_go()
    for milliseconds in (3, 5):
        rig.frame(milliseconds, time.perf_counter_ns())
        assert rig.stream.has_ticks.is_set()
        rig.stream.let_go()
        rig.stream.let_go()
        assert not rig.stream.has_ticks.is_set()
    assert rig.kinds() == [TICK, CLOCK] * 3
    stamp = T0 + 7 * NS_PER_MS
    assert [clock.ts for clock in rig.clocks()] == [stamp, stamp + 1, stamp + 2]


def test_what_a_snapshot_knows_of_is_sent() -> None:
    rig = Rig(lockstep=False)
    rig.frame(0, time.perf_counter_ns())
    rig.stream.snapshot()
    assert rig.kinds() == [TICK]


def test_a_bar_stands_behind_the_ticks_that_came_before_it() -> None:
    rig = Rig(lockstep=False)
    rig.frame(0, time.perf_counter_ns())
    rig.stream.on_bars("NSE_EQ:TCS", "repair", [Candle(T0 - NS_PER_MINUTE, 10_000, 10_000, 10_000, 10_000, 5)], T0)
    assert rig.kinds() == [TICK, BAR]


def test_in_lockstep_where_ticks_wait_for_the_market_no_receipt_is_told() -> None:
    rig = Rig(lockstep=True)
    rig.frame(0, time.perf_counter_ns())
    rig.stream.tell_time(T0)
    assert [clock.receipts for clock in rig.clocks()] == [()]


@pytest.mark.parametrize("before", [0, 100_000])
def test_records_are_taken_in_order_and_no_more_than_a_turn_may_take(before: int) -> None:
    bus = MemoryBus(1)
    bus.ensure([EQUITY_TICKS])
    writer = bus.writer()
    for ts in range(1, 6):
        writer.send(EQUITY_TICKS.name, "", encode(ClockRecord(ts)), TICK)
    writer.flush()
    reader = bus.reader(EQUITY_TICKS.name, {0: 0})
    taken = [[record.offset for record in take(reader, 3, before)] for _ in range(3)]
    assert taken == [[0, 1, 2], [3, 4], []]
