"""Reading from Kafka: members of a group, readers with partitions of their own, and whole partitions."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NoReturn, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from quant_platform.adapters.bus.kafka_faults import ASK_WITHIN_S, LOG, named, not_there, unavailable
from quant_platform.domain.errors import DataError, UnavailableError
from quant_platform.ports.bus import Head, Offsets, OnAssigned, Record, Records

_MAX_POLL_MS = 60_000
"""As long as a loop may take for a turn. Until then a member that does not turn holds up the others of its group."""
_PIECE = 1000
"""Messages that become columns at a time: as objects of the client they are large, and more of them fill the caches."""
_BATCH = 10_000
_HISTORY_WAIT_S = 0.02
_SILENT_FOR_S = 5.0
"""Without a record, after which Kafka is asked whether it is there: one that hangs keeps its connections."""
_MOST_KEYS = 65_536
_LOST = "see whether the topic was made anew, or keeps its records for less time than this service was away"

_CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "fetch.queue.backoff.ms": 5,  # the default of 1 s starves a reader of small records
    "fetch.wait.max.ms": 50,
    # Little of each partition at a time: what waits in the client fits the caches.
    "max.partition.fetch.bytes": 128 * 1024,
    "queued.min.messages": 10_000,
    "max.poll.interval.ms": _MAX_POLL_MS,
    "log_level": 0,
}
_PATIENT = {
    # Else Kafka answers as soon as one partition has a record: some hundred times a second in a lively market.
    "fetch.min.bytes": 32 * 1024,
    "fetch.wait.max.ms": 100,
    # As much as a batch may have: of one that does not fit, Kafka sends a part, which is thrown away. Partitions of
    # small batches then run ahead of the others, and a backlog comes far from the order of time, in which a table of
    # time series takes it fastest.
    "max.partition.fetch.bytes": 1024 * 1024,
    "queued.min.messages": 1000,
}


class KafkaReader:
    """Reads committed records of one topic; made by :class:`~quant_platform.adapters.bus.kafka.KafkaBus`.

    Args:
        servers: bootstrap servers.
        topic: what is read.
        config: what the two kinds of readers do not share.
    """

    def __init__(self, servers: str, topic: str, config: Mapping[str, Any]) -> None:
        self._servers = servers
        self._topic = topic
        self._trouble: KafkaError | None = None
        self._held: frozenset[int] = frozenset()
        self._is_closing = False
        self._heard_at = time.monotonic()
        self._fatal: KafkaError | None = None  # that the client does not come back from
        self._unproven: frozenset[int] = frozenset()  # partitions that nobody but us said are there
        self._found = Columns(topic)  # of the poll that is under way
        client = {"bootstrap.servers": servers, "error_cb": self._on_error, "logger": LOG}
        self.consumer = Consumer({**client, **_CONSUMER, **config})

    @classmethod
    def of_group(
        cls,
        servers: str,
        group: str,
        member: str,
        topic: str,
        session_timeout_ms: int,
        on_assigned: OnAssigned | None,
        *,
        is_patient: bool = False,
    ) -> Self:
        """A static member of a group: one that comes back within the session keeps its partitions at once."""
        reader = cls(
            servers,
            topic,
            {
                "group.id": group,
                "group.instance.id": member,
                # All at once: cooperative sharing takes two rounds, and a static member that begins anew between
                # them leaves a partition to nobody.
                "partition.assignment.strategy": "roundrobin",
                "session.timeout.ms": session_timeout_ms,
                "heartbeat.interval.ms": max(session_timeout_ms // 6, 100),
                **(_PATIENT if is_patient else {}),
            },
        )

        def given_up(_: Consumer, __: list[TopicPartition]) -> None:
            reader._found.clear()  # whoever has the partitions now reads them again, from the last commit
            reader._held = frozenset()  # they are given out again without a pause

        def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
            if on_assigned is None or reader._is_closing:
                return
            if partitions:
                # Waits until no transaction holds an offset of these partitions any more: what stands below is final.
                with named(servers):  # here already: the client passes its own errors on as what nobody can catch
                    reader.consumer.committed(partitions, timeout=ASK_WITHIN_S)
            places = on_assigned([partition.partition for partition in partitions])
            if places:
                for partition in partitions:
                    partition.offset = places.get(partition.partition, OFFSET_STORED)
                reader.consumer.assign(partitions)

        reader.consumer.subscribe([topic], on_assign=assigned, on_revoke=given_up, on_lost=given_up)
        return reader

    @classmethod
    def of_partitions(cls, servers: str, topic: str, start: Mapping[int, int]) -> Self:
        """A reader that no group knows."""
        reader = cls(servers, topic, {"group.id": f"reader of {topic}", "auto.offset.reset": "error"})
        reader._unproven = frozenset(start)
        reader.consumer.assign(
            [TopicPartition(topic, partition, offset or OFFSET_BEGINNING) for partition, offset in start.items()]
        )
        return reader

    def poll(self, most: int, timeout_s: float, company_s: float | None = None) -> Records:
        """The next records; see :class:`~quant_platform.ports.bus.RecordReader`."""
        self._found.clear()
        if company_s is None:
            self._find(most, timeout_s)
        else:
            self._find(1, timeout_s)
            if self._found:
                self._find(most, company_s)
        if self._found:
            self._trouble, self._heard_at = None, time.monotonic()
        else:
            self._prove_partitions()
            self._look_after_trouble()
        return self._found.taken()

    def _find(self, most: int, timeout_s: float) -> None:
        """Fill up what was found to ``most`` records; a new sharing of the group's partitions empties it meanwhile."""
        give_up = time.monotonic() + timeout_s
        while len(self._found) < most:
            asked = min(_PIECE, most - len(self._found))
            with named(self._servers):
                messages = self.consumer.consume(asked, max(give_up - time.monotonic(), 0.0))
            if any(map(Message.error, messages)):
                self._refuse(next(message for message in messages if message.error() is not None))
            self._found.add(messages)
            if len(messages) < asked:
                break

    def positions(self) -> Offsets:
        """Where its partitions go on after all it has read, past the marks that transactions leave behind."""
        reached = self.consumer.position(self.consumer.assignment())
        return {(place.topic, place.partition): place.offset for place in reached if place.offset >= 0}

    def membership(self) -> Any:
        """Who this reader is in its group: a transaction that moves the group's offsets has to show it."""
        return self.consumer.consumer_group_metadata()

    def hold(self, partitions: Set[int]) -> None:
        """Read nothing of these partitions until they are left out of a later call."""
        for change, moved in (
            (self.consumer.pause, partitions - self._held),
            (self.consumer.resume, self._held - partitions),
        ):
            if moved:
                change([TopicPartition(self._topic, number) for number in moved])
        self._held = frozenset(partitions)

    def lag(self) -> int:
        """Records of this reader's partitions that it has not read yet, as of the last answer of Kafka."""
        total = 0
        for place in self.consumer.position(self.consumer.assignment()):
            _, end = self.consumer.get_watermark_offsets(place, cached=True)
            total += max(end - max(place.offset, 0), 0)
        return total

    def close(self) -> None:
        """Let go of the connection; a static member's partitions wait for it to come back."""
        self._is_closing = True
        # A static member that joins and was never polled would wait in close() for ever (librdkafka 2.16).
        with contextlib.suppress(KafkaException):
            self.consumer.poll(0)
        self.consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = error
        self._trouble = error

    def _prove_partitions(self) -> None:
        """Silence at the beginning: of partitions that are not there, nothing would ever come, not even an error."""
        if not self._unproven:
            return
        with named(self._servers):
            found = self.consumer.list_topics(self._topic, timeout=ASK_WITHIN_S).topics[self._topic]
        if found.error is not None or not found.partitions:
            raise not_there(self._topic)
        if missing := self._unproven - found.partitions.keys():
            raise DataError(
                f"topic {self._topic} has {len(found.partitions)} partitions, "
                f"and reading goes on in number {max(missing)}",
                _LOST,
            )
        self._unproven = frozenset()

    def _look_after_trouble(self) -> None:
        """Silence after an error, or for long: either Kafka is away, or there was just nothing to read."""
        if self._trouble is None and time.monotonic() - self._heard_at < _SILENT_FOR_S:
            return
        if self._fatal is not None:
            # Put out of its group for good, as after a restart of Kafka: it would read nothing any more, in silence.
            raise unavailable(f"the reader of topic {self._topic} has to begin anew", self._fatal, self._servers)
        with named(self._servers):
            self.consumer.list_topics(self._topic, timeout=_SILENT_FOR_S if self._trouble is None else 2.0)
        self._trouble, self._heard_at = None, time.monotonic()

    def _refuse(self, message: Message) -> NoReturn:
        error = message.error()
        if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise not_there(self._topic)
        if error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise DataError(
                f"topic {self._topic} has no record at the place where reading goes on "
                f"in partition {message.partition()}",
                _LOST,
            )
        raise unavailable(f"topic {self._topic} cannot be read", error or KafkaError(KafkaError._FAIL), self._servers)


def history(servers: str, topic: str, start: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Record]:
    """Every committed record of some partitions between two offsets, each partition's in order.

    A commit returns before every partition has its mark, and until then the records in front of it cannot be read: so
    an end counts as reached only when whatever stands there is committed or dropped.

    Raises:
        UnavailableError: Kafka cannot be reached, or a transaction stays open.
    """
    under_way = {partition: ends[partition] for partition, offset in start.items() if offset < ends[partition]}
    if not under_way:
        return
    reader = KafkaReader(servers, topic, {"group.id": f"history of {topic}", "enable.partition.eof": True})
    consumer = reader.consumer
    found = Columns(topic)
    try:
        consumer.assign([TopicPartition(topic, partition, start[partition]) for partition in under_way])
        give_up = time.monotonic() + ASK_WITHIN_S
        while under_way:
            with named(servers):
                messages = consumer.consume(_BATCH, _HISTORY_WAIT_S)
            found.add([message for message in messages if message.error() is None])
            yield from found.taken()
            for message in messages:
                error = message.error()
                if error is None:
                    continue
                if error.code() != KafkaError._PARTITION_EOF:
                    raise unavailable(f"topic {topic} cannot be read", error, servers)
                if (message.offset() or 0) >= under_way.get(message.partition() or 0, 0):
                    under_way.pop(message.partition() or 0, None)
            if messages:
                give_up = time.monotonic() + ASK_WITHIN_S
            elif time.monotonic() > give_up:
                raise UnavailableError(
                    f"topic {topic} cannot be read to its end, where a transaction is open (Kafka at {servers})",
                    "nothing, unless it lasts for minutes: kafka-transactions.sh find-hanging, then abort (ADR 28)",
                )
    finally:
        reader.close()


def asker(servers: str, group: str) -> Consumer:
    """Whom to ask for what a group committed, without joining it.

    Not the admin client: librdkafka 2.16 crashes in there while Kafka makes its topic of offsets or lags.
    """
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            # Else it waits for the end of a transaction that holds offsets: a dead member's takes a while.
            "isolation.level": "read_uncommitted",
            "log_level": 0,
        }
    )


def places(offsets: Offsets) -> list[TopicPartition]:
    """Offsets as the client takes them."""
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]


class Columns:
    """Gathers messages as columns. What is alike in nearly all of them is read once: headers, and symbols as keys.

    Args:
        topic: of all messages.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._headers: Any = None
        self._head = Head("", 0)
        self._keys = _Keys()
        self.clear()

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Forget what was gathered."""
        self._partitions: list[Any] = []
        self._offsets: list[Any] = []
        self._heads: list[Head] = []
        self._texts: list[str] = []
        self._values: list[Any] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Messages, none of which is an error, as they stand in their topic."""
        # To map a method costs half of calling it.
        self._partitions += map(Message.partition, messages)
        self._offsets += map(Message.offset, messages)
        self._heads += [
            self._head if headers == self._headers else self._read(headers)
            for headers in map(Message.headers, messages)
        ]
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._texts += map(self._keys.__getitem__, map(Message.key, messages))
        self._values += [value or b"" for value in map(Message.value, messages)]

    def taken(self) -> Records:
        """What was gathered, which is forgotten here."""
        found = Records(self._topic, self._partitions, self._offsets, self._heads, self._texts, self._values)
        self.clear()
        return found

    def _read(self, headers: Any) -> Head:
        """What a list of pairs, or None, says."""
        kind, schema = "", 0
        for name, value in headers or ():
            if name == "kind":
                kind = _text(value)
            elif name == "schema":
                schema = int(_text(value)) if _text(value).isdigit() else 0
        self._headers, self._head = headers, Head(kind, schema)
        return self._head


class _Keys(dict[Any, str]):
    """Key as it came → as text."""

    def __missing__(self, key: bytes | str | None) -> str:
        text = self[key] = _text(key)
        return text


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
