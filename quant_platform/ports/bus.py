"""The message bus: records read in order, and written so that nothing is acknowledged before it is durable."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, Protocol, Self, overload

from quant_platform.domain.topics import Topic

Offsets = Mapping[tuple[str, int], int]
"""(topic, partition) → the first record not yet done."""


class Record(NamedTuple):
    """One record as it stands in a topic."""

    topic: str
    partition: int
    offset: int
    kind: str  # header ``kind``: tick, bar, clock; empty where there is none
    schema: int  # header ``schema``; 0 where there is none or it is no number
    key: str
    value: bytes


class Head(NamedTuple):
    """What the headers of a record say; see :class:`Record`."""

    kind: str
    schema: int


class Records(Sequence[Record]):
    """Records of one topic as columns, each partition's in order; who goes through them, or asks for one, gets objects.

    To make an object of each costs more than all else about a record, and where most are ticks hardly any is looked at.

    Args:
        topic: theirs.
        partitions: of each.
        offsets: of each.
        heads: of each; those that are alike may be one object.
        keys: of each.
        values: of each.
    """

    __slots__ = ("heads", "keys", "offsets", "partitions", "topic", "values")

    def __init__(
        self,
        topic: str,
        partitions: Sequence[int] = (),
        offsets: Sequence[int] = (),
        heads: Sequence[Head] = (),
        keys: Sequence[str] = (),
        values: Sequence[bytes] = (),
    ) -> None:
        self.topic = topic
        self.partitions = partitions
        self.offsets = offsets
        self.heads = heads
        self.keys = keys
        self.values = values

    @classmethod
    def of(cls, topic: str, records: Iterable[Record]) -> Self:
        """The columns of records that are objects already."""
        rows = [(each.partition, each.offset, Head(each.kind, each.schema), each.key, each.value) for each in records]
        return cls(topic, *map(list, zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> Self: ...

    def __getitem__(self, place: int | slice) -> Record | Self:
        columns: tuple[Sequence[Any], ...] = (self.partitions, self.offsets, self.heads, self.keys, self.values)
        if isinstance(place, slice):
            return type(self)(self.topic, *(column[place] for column in columns))
        partition, offset, head, key, value = (column[place] for column in columns)
        return Record(self.topic, partition, offset, head.kind, head.schema, key, value)

    def __iter__(self) -> Iterator[Record]:
        if not self.values:
            return iter(())
        kinds, schemas = zip(*self.heads, strict=True)
        rows = zip(repeat(self.topic), self.partitions, self.offsets, kinds, schemas, self.keys, self.values)
        return map(partial(tuple.__new__, Record), rows)  # at half the price of calling it


class Source(NamedTuple):
    """A group and what it reads."""

    group: str
    topic: str


class RecordReader(Protocol):
    """Reads what is committed (never what an open or dropped transaction holds)."""

    def poll(self, most: int, timeout_s: float, company_s: float | None = None) -> Records:
        """The next records, each partition's in order; empty where none came in time.

        What a group gives to another reader meanwhile is not among them.

        Args:
            most: how many at most.
            timeout_s: how long to wait for so many.
            company_s: how long to wait instead once there is a first one.

        Raises:
            UnavailableError: the bus cannot be reached, or a topic is not there yet.
            DataError: the topic has not the partitions, or no more the records, from which reading goes on.
        """
        ...

    def hold(self, partitions: Set[int]) -> None:
        """Read nothing of these partitions until they are left out of a later call."""
        ...

    def lag(self) -> int:
        """Records of its partitions that it has not read yet, as far as it knows."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class GroupReader(RecordReader, Protocol):
    """Shares partitions with the other readers of its group; a :class:`TransactionalWriter` moves the group on."""

    def positions(self) -> Offsets:
        """Where its partitions go on after all it has read, past the marks that transactions leave behind."""
        ...

    def membership(self) -> Any:
        """Who this reader is in its group: a transaction that moves the group's offsets has to show it."""
        ...


class RecordWriter(Protocol):
    """Writes records; each is durable when :meth:`flush` returns."""

    def send(self, topic: str, key: str, value: bytes, kind: str = "", partition: int | None = None) -> None:
        """Hand a record over; without a partition the key chooses it. Waits where too much waits already.

        Raises:
            RefusedRecordError: an earlier record was refused for good.
        """
        ...

    def set_aside(self, record: Record, reason: str) -> None:
        """Send a record that cannot be read to its dead-letter topic, as it is, with the reason in a header."""
        ...

    def flush(self) -> None:
        """Return when everything sent is durable.

        Raises:
            UnavailableError: not everything is durable yet; another call goes on waiting.
            RefusedRecordError: a record was refused for good. Nothing is known of those after it.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; what was not flushed may be lost."""
        ...


class TransactionalWriter(RecordWriter, Protocol):
    """Writes records and the places read to, all or nothing."""

    def commit(self, reader: GroupReader, offsets: Offsets) -> None:
        """End the transaction that the first :meth:`send` since the last commit began, with these offsets in it.

        Raises:
            UnavailableError: nothing of the transaction took place; read again from the last commit.
        """
        ...


OnAssigned = Callable[[Sequence[int]], Mapping[int, int] | None]
"""Told the partitions that a group gave to its reader, if any, before any of their records. May answer at which offsets
some of them go on; the others do where the group committed."""


class Bus(Protocol):
    """Makes readers and writers."""

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Make the topics that are not there.

        Raises:
            UnavailableError: the bus cannot be reached.
        """
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnavailableError: the bus cannot be reached, or the topic is not there yet.
        """
        ...

    def ends(self, topic: str) -> Mapping[int, int]:
        """Partition → offset that its next record will bear.

        Raises:
            UnavailableError: the bus cannot be reached, or the topic is not there yet.
        """
        ...

    def behind(self, group: str, topic: str) -> int:
        """Offsets of a topic that a group has not committed yet, whichever of its readers has to.

        Raises:
            UnavailableError: the bus cannot be reached, or the topic is not there yet.
        """
        ...

    def group_reader(
        self, group: str, member: str, topic: str, on_assigned: OnAssigned | None = None, *, is_patient: bool = False
    ) -> GroupReader:
        """A reader that shares a topic with its group and starts where the group committed, or at the beginning.

        Args:
            group: its name.
            member: name of this reader within it, the same after a restart.
            topic: what is read.
            on_assigned: told of newly assigned partitions; may know better where they go on.
            is_patient: a record may wait a tenth of a second for others, which spares the bus most of its answers.
        """
        ...

    def reader(self, topic: str, start: Mapping[int, int]) -> RecordReader:
        """A reader that has these partitions for itself.

        Args:
            topic: what is read.
            start: partition → offset of the first record to read; 0 is the oldest there is.
        """
        ...

    def history(self, topic: str, start: Mapping[int, int]) -> Iterator[Record]:
        """Every committed record of some partitions from an offset to where they end now, each partition's in order.

        Waits for transactions that are open there: whether one was committed already, its records do not tell.

        Raises:
            UnavailableError: the bus cannot be reached, the topic is not there yet, or a transaction stays open.
        """
        ...

    def writer(self) -> RecordWriter:
        """An idempotent writer."""
        ...

    def transactional_writer(self, name: str, source: Source | None = None) -> TransactionalWriter:
        """A writer of transactions; what an earlier one of the same name left open is dropped.

        Args:
            name: of no other writer that lives.
            source: what its transactions move on in, a topic that is there; None where they only write.

        Raises:
            UnavailableError: the bus cannot be reached.
        """
        ...
