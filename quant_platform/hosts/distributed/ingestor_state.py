"""Where an upstox_ingestor goes on after a restart: its newest snapshot, and the records that it wrote after it."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from quant_platform.domain.depth_json import plain
from quant_platform.domain.records import BAR, CLOCK, TICK, BarsRecord, ClockRecord, Reader, TickAsRead, TickRecord
from quant_platform.domain.topics import EQUITY_TICKS, INGESTOR_STATE
from quant_platform.ports.bus import Bus, RecordWriter

KEY = "upstox_ingestor"

_READERS = {TICK: Reader(TickRecord), BAR: Reader(BarsRecord), CLOCK: Reader(ClockRecord)}


class Snapshot(msgspec.Struct, frozen=True):
    """What the ingestor knew when everything up to ``offsets`` was durable."""

    offsets: dict[int, int]  # of market.equity.ticks: first record that it does not cover
    symbols: list[str]  # by number, as the cores' arrays are ordered
    admission: bytes
    normaliser: bytes
    subscriptions: bytes
    suggestions_from: int  # first record of scanner.suggestions that was not followed
    clock_ns: int  # the newest clock sent
    duplicates: int
    reconnects: int
    gaps: int


class WrittenSince(NamedTuple):
    """What was written after a snapshot."""

    ticks: list[TickAsRead]
    warmed_up: list[str]  # symbols that were subscribed, in order
    clocks: dict[int, ClockRecord]  # partition → its newest

    def lost_since(self, snapshot: Snapshot | None) -> int | None:
        """Ns UTC up to which every partition surely has everything; None where nothing was ever written."""
        clocks = [clock.ts for clock in self.clocks.values()]
        if snapshot is not None:
            clocks = [max(snapshot.clock_ns, min(clocks, default=0))]
        elif not clocks and not self.ticks:
            return None
        return min(clocks, default=0) or None


def newest(bus: Bus) -> Snapshot | None:
    """The newest snapshot; None before the first.

    Raises:
        UnavailableError: the bus cannot be reached.
    """
    topic, found = INGESTOR_STATE.name, None
    for record in bus.history(topic, dict.fromkeys(range(bus.partitions(topic)), 0)):
        found = record
    return None if found is None else msgspec.msgpack.decode(found.value, type=Snapshot)


def keep(snapshot: Snapshot, writer: RecordWriter) -> None:
    """Send a snapshot on its way; it is durable when the writer is flushed."""
    writer.send(INGESTOR_STATE.name, KEY, msgspec.msgpack.encode(snapshot))


def written_since(bus: Bus, offsets: Mapping[int, int]) -> WrittenSince:
    """Read back what an ingestor sent and did not live to remember.

    Args:
        bus: that it was sent to.
        offsets: partition → first record; partitions that are not named are read from their beginning.

    Raises:
        UnavailableError: the bus cannot be reached.
    """
    found = WrittenSince([], [], {})
    start = dict.fromkeys(range(bus.partitions(EQUITY_TICKS.name)), 0) | dict(offsets)
    for record in bus.history(EQUITY_TICKS.name, start):
        reader = _READERS.get(record.kind)
        content = None if reader is None else reader.read(record.value)
        if isinstance(content, TickRecord):
            fields = (content.symbol, content.ts, content.seq, content.ltp, content.volume, content.atp, content.flags)
            found.ticks.append(TickAsRead(*fields, plain(content.depth)))
        elif isinstance(content, BarsRecord) and content.what == "warm-up":
            found.warmed_up.append(content.symbol)
        elif isinstance(content, ClockRecord):
            found.clocks[record.partition] = content
    return found
