"""The runtime behind a bus, where records come in an order that a file would never have."""

from datetime import date, timedelta

import pytest

from quant_platform.domain.enriched_json import KnownSymbols, read_enriched
from quant_platform.domain.records import ClockRecord, EnrichedAsRead, encode
from quant_platform.domain.ticks import OUT_OF_SESSION
from quant_platform.services.strategy_runtime.stream import Ticks, TradingStream

from .rig import DAY, Rig, stamp

NEXT_DAY = DAY + timedelta(days=1)


def tick(at: str, day: date = DAY, *, in_session: bool = True) -> EnrichedAsRead:
    flags = 0 if in_session else OUT_OF_SESSION
    return EnrichedAsRead("NSE_EQ:A", stamp(at, day), 1, 100.0, 10, None, None, None, None, None, "N", flags)


def ticks_of(record: EnrichedAsRead | ClockRecord) -> Ticks:
    known = KnownSymbols()
    known.add(["NSE_EQ:A"])
    columns, which = read_enriched([encode(record)], known)
    return Ticks(columns.select(which), known.names, which)


COMES_LATE: list[EnrichedAsRead | ClockRecord] = [
    tick("10:00:00"),
    ClockRecord(stamp("15:30:00")),
    tick("15:30:01", in_session=False),
    tick("15:29:59"),  # its session was closed before it came
    ClockRecord(stamp("15:30:05")),
    tick("10:00:00", NEXT_DAY),
    ClockRecord(stamp("15:30:00", NEXT_DAY)),
]


@pytest.mark.parametrize("at_once", [1, 2, len(COMES_LATE)])
def test_a_tick_that_comes_after_the_close_of_its_session_does_not_open_it_again(at_once: int) -> None:
    rig = Rig()
    stream = TradingStream(rig.runtime, rig.table, lambda _: False, depth=False)
    stream.begin({0: 0}, 0)
    for offset, record in enumerate(COMES_LATE):
        stream.add([(0, offset)], ticks_of(record), [] if isinstance(record, EnrichedAsRead) else [record])
        if offset % at_once == at_once - 1:
            stream.process()
    stream.process()
    marks = {row.ts for row in rig.runtime.block(stream.watermark).equity}
    assert {stamp("15:30:00"), stamp("15:30:00", NEXT_DAY)} <= marks
    assert stream.counters["ticks"] == 4
    assert stream.watermark == stamp("15:30:00", NEXT_DAY)


def test_it_tells_when_a_stamp_came_in_of_those_that_it_took_last() -> None:
    rig = Rig()
    stream = TradingStream(rig.runtime, rig.table, lambda _: False, depth=False)
    stream.begin({0: 0}, 0)
    told = {"10:00:00": 5, "10:00:01": 0, "10:00:02": 9}
    for offset, (at, received) in enumerate(told.items()):
        clock = ClockRecord(stamp(at), receipts=((stamp(at), received), (stamp(at) - 1, 3)) if received else ())
        stream.add([(0, 2 * offset)], ticks_of(tick(at)), [])
        stream.add([(0, 2 * offset + 1)], ticks_of(clock), [clock])
    stream.process()
    assert stream.received_at(stamp("10:00:00")) == 5
    assert stream.received_at(stamp("10:00:02")) == 9
    assert stream.received_at(stamp("10:00:02") - 1) == 3
    assert stream.received_at(stamp("10:00:01")) is None  # its clock does not know
    stream.process()
    assert stream.received_at(stamp("10:00:00")) is None
