"""Two topics, and how the contract tests of the bus write to them, read them and look into them."""

import time
from collections.abc import Sequence

from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.ports.bus import Bus, GroupReader, Offsets, Record, RecordReader, RecordWriter

PARTITIONS = 3
THINGS = Topic("things", PARTITIONS)
OTHERS = Topic("others", PARTITIONS)
ALL = dict.fromkeys(range(PARTITIONS), 0)
WITHIN_S = 60.0
FLUSHED_WITHIN_S = 120.0
"""Of a Kafka that was ended meanwhile, too."""


def write(bus: Bus, *values: str, partition: int = 0, topic: Topic = THINGS) -> None:
    writer = bus.writer()
    for value in values:
        writer.send(topic.name, "key", value.encode(), partition=partition)
    writer.flush()
    writer.close()


def flushed(writer: RecordWriter) -> int:
    """Flush as a service does, waiting for as long as it takes; returns how often that was in vain."""
    vain = 0
    deadline = time.monotonic() + FLUSHED_WITHIN_S
    while True:
        try:
            writer.flush()
        except UnavailableError:
            assert time.monotonic() < deadline
            vain += 1
        else:
            return vain


def take(reader: RecordReader, count: int) -> list[Record]:
    """The next records, exactly so many, and none beyond them that is there already."""
    found: list[Record] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records came"
        found += reader.poll(count - len(found), 0.5)
    assert len(found) == count
    return found


def values(records: Sequence[Record]) -> list[str]:
    return [record.value.decode() for record in records]


def stored(bus: Bus, topic: Topic = THINGS) -> list[str]:
    return values(list(bus.history(topic.name, ALL)))


def commit(bus: Bus, reader: GroupReader, offsets: Offsets) -> None:
    """Have a reader's group go on from these places."""
    writer = bus.transactional_writer(f"committer of {id(reader)}")
    writer.commit(reader, offsets)
    writer.close()


def following(record: Record) -> dict[tuple[str, int], int]:
    return {(record.topic, record.partition): record.offset + 1}
