"""The message bus in memory, for one thread: what the port promises, without a broker."""

import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from quant_platform.domain.errors import DataError, RefusedRecordError, UnavailableError
from quant_platform.domain.topics import SCHEMA_VERSION, Topic
from quant_platform.ports.bus import (
    GroupReader,
    Offsets,
    OnAssigned,
    Record,
    RecordReader,
    Records,
    RecordWriter,
    Source,
    TransactionalWriter,
)

MOST_BYTES = 1_048_576
"""Of a record: what Kafka takes where nothing else is set."""


class DeadLetter(NamedTuple):
    """A record that was set aside, and why."""

    record: Record
    reason: str


class _Membership(NamedTuple):
    group: str
    topic: str
    reader: "_MemoryGroupReader"


@dataclass
class _Group:
    """Readers that share a topic."""

    members: dict[str, "_MemoryGroupReader"] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)


class MemoryBus:
    """Makes readers and writers (:class:`~quant_platform.ports.bus.Bus`).

    A closed reader's partitions go to the others at once; Kafka waits for the end of its session.

    Args:
        partitions: of topics that do not say.
    """

    def __init__(self, partitions: int = 3) -> None:
        self._partitions = partitions
        self._groups: dict[tuple[str, str], _Group] = {}
        self.topics: dict[str, list[list[Record]]] = {}
        """Name → each partition's records."""
        self.transactions: dict[str, TransactionalWriter] = {}
        """Name → the newest writer of this name."""
        self.dead_letters: list[DeadLetter] = []

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Make the topics that are not there, and those for their dead letters."""
        for topic in topics:
            for each in (topic,) if topic.compacted else (topic, topic.dead):
                self.topics.setdefault(each.name, [[] for _ in range(each.partitions or self._partitions)])

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnavailableError: the topic is not there yet.
        """
        return len(self.records_of(topic))

    def ends(self, topic: str) -> Mapping[int, int]:
        """Partition → offset that its next record will bear.

        Raises:
            UnavailableError: the topic is not there yet.
        """
        return {number: len(records) for number, records in enumerate(self.records_of(topic))}

    def behind(self, group: str, topic: str) -> int:
        """Offsets of a topic that a group has not committed yet, whichever of its readers has to.

        Raises:
            UnavailableError: the topic is not there yet.
        """
        committed = self.group(group, topic).committed
        return sum(end - committed.get(number, 0) for number, end in self.ends(topic).items())

    def group_reader(
        self,
        group: str,
        member: str,
        topic: str,
        on_assigned: OnAssigned | None = None,
        *,
        is_patient: bool = False,
    ) -> GroupReader:
        """A reader that shares a topic with its group; see :class:`~quant_platform.ports.bus.Bus`."""
        reader = _MemoryGroupReader(self, group, member, topic, on_assigned)
        self.group(group, topic).members[member] = reader
        return reader

    def reader(self, topic: str, start: Mapping[int, int]) -> RecordReader:
        """A reader that has these partitions for itself; see :class:`~quant_platform.ports.bus.Bus`."""
        return _MemoryReader(self, topic, start)

    def history(self, topic: str, start: Mapping[int, int]) -> Iterator[Record]:
        """Every record of some partitions from an offset to where they end now, each partition's in order.

        Raises:
            UnavailableError: the topic is not there yet.
        """
        records = self.records_of(topic)
        return iter([record for number, offset in start.items() for record in records[number][offset:]])

    def writer(self) -> RecordWriter:
        """A writer."""
        return _MemoryWriter(self)

    def transactional_writer(self, name: str, source: Source | None = None) -> TransactionalWriter:
        """A writer of transactions; what an earlier one of the same name left open is dropped."""
        writer = _MemoryTransactionalWriter(self, name)
        self.transactions[name] = writer
        return writer

    # What readers and writers share.

    def records_of(self, topic: str) -> list[list[Record]]:
        """Each partition's records.

        Raises:
            UnavailableError: the topic is not there yet.
        """
        try:
            return self.topics[topic]
        except KeyError:
            raise UnavailableError(f"topic {topic} is not there yet", "start the service that writes it") from None

    def group(self, name: str, topic: str) -> _Group:
        """Those who share this topic under this name."""
        return self._groups.setdefault((name, topic), _Group())


class _MemoryReader:
    def __init__(self, bus: MemoryBus, topic: str, start: Mapping[int, int]) -> None:
        self._bus = bus
        self._topic = topic
        self._places = dict(start)
        self._held: Set[int] = frozenset()

    def poll(self, most: int, timeout_s: float, company_s: float | None = None) -> Records:
        partitions = self._bus.records_of(self._topic)
        found: list[Record] = []
        for number in sorted(self._places.keys() - self._held):
            place = self._places[number]
            if number >= len(partitions):
                raise DataError(
                    f"topic {self._topic} has {len(partitions)} partitions, and reading goes on in number {number}"
                )
            if place > len(partitions[number]):
                raise DataError(
                    f"topic {self._topic} has no record at the place where reading goes on in partition {number}"
                )
            taken = partitions[number][place : place + most - len(found)]
            self._places[number] = place + len(taken)
            found += taken
        return Records.of(self._topic, found)

    def hold(self, partitions: Set[int]) -> None:
        self._held = frozenset(partitions)

    def lag(self) -> int:
        ends = self._bus.ends(self._topic)
        return sum(ends[number] - place for number, place in self._places.items())

    def close(self) -> None:
        self._places.clear()


class _MemoryGroupReader(_MemoryReader):
    def __init__(self, bus: MemoryBus, group: str, member: str, topic: str, on_assigned: OnAssigned | None) -> None:
        super().__init__(bus, topic, {})
        self._name = group
        self._member = member
        self._on_assigned = on_assigned

    def poll(self, most: int, timeout_s: float, company_s: float | None = None) -> Records:
        self._take_share()
        return super().poll(most, timeout_s, company_s)

    def positions(self) -> Offsets:
        return {(self._topic, number): place for number, place in self._places.items()}

    def membership(self) -> _Membership:
        return _Membership(self._name, self._topic, self)

    def close(self) -> None:
        super().close()
        members = self._group.members
        if members.get(self._member) is self:
            del members[self._member]

    def require_member(self) -> None:
        if self._group.members.get(self._member) is not self:
            raise UnavailableError(
                f"another reader took the place of {self._member} in group {self._name}",
                "give every instance a name of its own",
            )

    def move(self, offsets: Offsets) -> None:
        self._group.committed.update({number: offset for (_, number), offset in offsets.items()})

    @property
    def _group(self) -> _Group:
        return self._bus.group(self._name, self._topic)

    def _take_share(self) -> None:
        self.require_member()
        members = list(self._group.members)
        mine = range(members.index(self._member), self._bus.partitions(self._topic), len(members))
        self._places = {number: place for number, place in self._places.items() if number in mine}
        added = [number for number in mine if number not in self._places]
        self._places |= {number: self._group.committed.get(number, 0) for number in added}
        if added and self._on_assigned is not None:
            self._places |= self._on_assigned(added) or {}


class _MemoryWriter:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._waiting: list[tuple[Record, str | None]] = []  # a record without its offset, and why it is set aside

    def send(self, topic: str, key: str, value: bytes, kind: str = "", partition: int | None = None) -> None:
        number = -1 if partition is None else partition
        self._waiting.append((Record(topic, number, 0, kind, SCHEMA_VERSION, key, value), None))

    def set_aside(self, record: Record, reason: str) -> None:
        self._waiting.append((record._replace(topic=f"{record.topic}.dead", partition=0), reason))

    def flush(self) -> None:
        for record, _ in self._waiting:
            self._require_room(record)
        for record, reason in self._waiting:
            partitions = self._bus.records_of(record.topic)
            number = record.partition if record.partition >= 0 else zlib.crc32(record.key.encode()) % len(partitions)
            written = record._replace(partition=number, offset=len(partitions[number]))
            partitions[number].append(written)
            if reason is not None:
                self._bus.dead_letters.append(DeadLetter(written, reason))
        self._waiting.clear()

    def close(self) -> None:
        self._waiting.clear()

    def _require_room(self, record: Record) -> None:
        partitions = self._bus.partitions(record.topic)
        if record.partition >= partitions:
            raise RefusedRecordError(f"topic {record.topic} has no partition {record.partition}: it has {partitions}")
        if len(record.value) > MOST_BYTES and not record.topic.endswith(".dead"):
            raise RefusedRecordError(
                f"a record of {len(record.value)} bytes is too large for topic {record.topic}: at most {MOST_BYTES}"
            )


class _MemoryTransactionalWriter(_MemoryWriter):
    def __init__(self, bus: MemoryBus, name: str) -> None:
        super().__init__(bus)
        self._name = name

    def flush(self) -> None:
        self._require_newest()

    def commit(self, reader: GroupReader, offsets: Offsets) -> None:
        self._require_newest()
        member: _MemoryGroupReader = reader.membership().reader
        member.require_member()
        super().flush()
        member.move(offsets)

    def _require_newest(self) -> None:
        if self._bus.transactions.get(self._name) is not self:
            raise UnavailableError(
                f"another writer of transactions took the name {self._name}", "give every instance a name of its own"
            )
