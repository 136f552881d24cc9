"""The message bus on Kafka: topics are made and asked for here; records are read and written next door."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec, TopicMetadata  # type: ignore[attr-defined]

from quant_platform.adapters.bus.kafka_faults import ASK_WITHIN_S, named, not_there, unavailable
from quant_platform.adapters.bus.kafka_reader import KafkaReader, asker, history
from quant_platform.adapters.bus.kafka_writer import KafkaTransactionalWriter, KafkaWriter
from quant_platform.domain.topics import Topic
from quant_platform.ports.bus import OnAssigned, Record, Source

T = TypeVar("T")

_COMPACTED = {
    # Closed early and cleaned eagerly: who takes over a partition reads little more than one record a key.
    "cleanup.policy": "compact",
    "segment.ms": "60000",
    "segment.bytes": str(16 * 2**20),
    "min.cleanable.dirty.ratio": "0.05",
    "max.compaction.lag.ms": "120000",
}
_NO_LEADER_YET = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # so the client says that no partition has one
    }
)
"""So a topic that was just made, or a broker that was just started, answers for a moment."""
_DEAD_RECORD_BYTES = 4 * 2**20
"""Dead letters carry whatever any topic took, and the reason beside it."""


@dataclass(frozen=True)
class KafkaOptions:
    """How to reach Kafka, and how fast a dead client is given up.

    Attributes:
        bootstrap_servers: host:port, several with commas.
        partitions: of topics that do not say.
        session_timeout_ms: a silent member's partitions go to others after so long.
        transaction_timeout_ms: a silent writer's transaction is dropped after so long.
    """

    bootstrap_servers: str
    partitions: int = 12
    session_timeout_ms: int = 6000
    transaction_timeout_ms: int = 10_000


class KafkaBus:
    """Makes readers and writers of one cluster (:class:`~quant_platform.ports.bus.Bus`).

    Args:
        options: how to reach it. Nothing is connected before it is needed.
    """

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._admin = AdminClient({"bootstrap.servers": options.bootstrap_servers, "log_level": 0})
        self._askers: dict[str, Consumer] = {}  # group → who asks where it stands, without joining it

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Make the topics that are not there, and those for their dead letters.

        Raises:
            UnavailableError: Kafka cannot be reached, or will not make one.
        """
        there = self._ask(lambda: self._admin.list_topics(timeout=ASK_WITHIN_S)).topics
        wanted = [each for topic in topics for each in ((topic,) if topic.compacted else (topic, topic.dead))]
        missing = [self._as_made(topic) for topic in wanted if topic.name not in there]
        if not missing:
            return
        made = self._admin.create_topics(missing, operation_timeout=ASK_WITHIN_S, request_timeout=ASK_WITHIN_S)
        for name, future in made.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another service was faster
                    raise unavailable(f"topic {name} cannot be made", error, self._options.bootstrap_servers) from None
        self._wait_for(set(made))

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnavailableError: Kafka cannot be reached, or the topic is not there yet.
        """
        found = self._looked_up(topic)
        if found.error is not None or not found.partitions:
            raise not_there(topic)
        return len(found.partitions)

    def ends(self, topic: str) -> Mapping[int, int]:
        """Partition → offset that its next record will bear.

        Raises:
            UnavailableError: Kafka cannot be reached, or the topic is not there yet.
        """
        newest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._offsets(topic, range(self.partitions(topic)), newest)

    def behind(self, group: str, topic: str) -> int:
        """Offsets of a topic that a group has not committed yet, whichever of its readers has to.

        Raises:
            UnavailableError: Kafka cannot be reached, or the topic is not there yet.
        """
        ends = self.ends(topic)
        if group not in self._askers:
            self._askers[group] = asker(self._options.bootstrap_servers, group)
        asked = [TopicPartition(topic, number) for number in ends]
        found = self._ask(lambda: self._askers[group].committed(asked, timeout=ASK_WITHIN_S))
        reached = {place.partition: place.offset for place in found if place.offset >= 0}
        if missing := ends.keys() - reached.keys():
            oldest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
            reached |= self._offsets(topic, missing, oldest)
        return sum(max(end - reached[partition], 0) for partition, end in ends.items())

    def remove(self, topics: Sequence[Topic]) -> None:
        """Delete topics and what is in them; those that are not there are passed over. Returns when they are gone.

        Raises:
            UnavailableError: Kafka cannot be reached.
        """
        there = self._ask(lambda: self._admin.list_topics(timeout=ASK_WITHIN_S)).topics
        names = [each for topic in topics for each in (topic.name, topic.dead.name) if each in there]
        if names:
            removed: dict[str, Future[None]] = self._admin.delete_topics(names, request_timeout=ASK_WITHIN_S)
            for future in removed.values():
                self._ask(future.result)

    def forget_groups(self, groups: Sequence[str]) -> None:
        """Drop where consumer groups stand; groups that are not there are passed over.

        Raises:
            UnavailableError: Kafka cannot be reached, or a group is still in use.
        """
        # Only of a Kafka that answers: where the answer comes too late, librdkafka 2.16 ends the process.
        self._ask(lambda: self._admin.list_topics(timeout=ASK_WITHIN_S))
        for group, future in self._admin.delete_consumer_groups(list(groups)).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise unavailable(f"group {group} is in use", error, self._options.bootstrap_servers) from None

    def group_reader(
        self, group: str, member: str, topic: str, on_assigned: OnAssigned | None = None, *, is_patient: bool = False
    ) -> KafkaReader:
        """A reader that shares a topic with its group; see :class:`~quant_platform.ports.bus.Bus`."""
        options = self._options
        return KafkaReader.of_group(
            options.bootstrap_servers,
            group,
            member,
            topic,
            options.session_timeout_ms,
            on_assigned,
            is_patient=is_patient,
        )

    def reader(self, topic: str, start: Mapping[int, int]) -> KafkaReader:
        """A reader that has these partitions for itself; see :class:`~quant_platform.ports.bus.Bus`."""
        return KafkaReader.of_partitions(self._options.bootstrap_servers, topic, start)

    def history(self, topic: str, start: Mapping[int, int]) -> Iterator[Record]:
        """Every committed record of some partitions from an offset to where they end now, each partition's in order.

        Raises:
            UnavailableError: Kafka cannot be reached, or a transaction stays open.
        """
        return history(self._options.bootstrap_servers, topic, start, self.ends(topic))

    def writer(self) -> KafkaWriter:
        """An idempotent writer that waits for every replica."""
        return KafkaWriter(self._options.bootstrap_servers)

    def transactional_writer(self, name: str, source: Source | None = None) -> KafkaTransactionalWriter:
        """A writer of transactions; see :class:`~quant_platform.ports.bus.Bus`."""
        options = self._options
        return KafkaTransactionalWriter(options.bootstrap_servers, name, options.transaction_timeout_ms, source)

    def _as_made(self, topic: Topic) -> NewTopic:
        config = dict(_COMPACTED) if topic.compacted else {"retention.ms": str(topic.retention_ms)}
        if topic.is_dead:
            config["max.message.bytes"] = str(_DEAD_RECORD_BYTES)
        return NewTopic(topic.name, topic.partitions or self._options.partitions, config=config)

    def _wait_for(self, names: set[str]) -> None:
        """A topic is made by the controller, and known to the broker that we ask a moment later."""
        give_up = time.monotonic() + ASK_WITHIN_S
        while missing := names - self._ask(lambda: self._admin.list_topics(timeout=ASK_WITHIN_S)).topics.keys():
            if time.monotonic() > give_up:
                timed_out = KafkaError(KafkaError._TIMED_OUT)
                raise unavailable(
                    f"topics were made but are not there: {', '.join(sorted(missing))}",
                    timed_out,
                    self._options.bootstrap_servers,
                )
            time.sleep(0.02)

    def _offsets(self, topic: str, partitions: Iterable[int], which: OffsetSpec) -> dict[int, int]:
        wanted = {TopicPartition(topic, number): which for number in partitions}
        give_up = time.monotonic() + ASK_WITHIN_S
        while True:
            asked = self._admin.list_offsets(wanted, request_timeout=ASK_WITHIN_S)
            try:
                return {place.partition: future.result().offset for place, future in asked.items()}
            except KafkaException as error:
                if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > give_up:
                    raise unavailable(
                        f"the ends of topic {topic} cannot be asked for", error, self._options.bootstrap_servers
                    ) from None
            time.sleep(0.02)
            # The client goes on asking whom it knows as a leader, until it is told of another.
            self._looked_up(topic)

    def _looked_up(self, topic: str) -> TopicMetadata:
        return self._ask(lambda: self._admin.list_topics(topic, timeout=ASK_WITHIN_S)).topics[topic]

    def _ask(self, call: Callable[[], T]) -> T:
        with named(self._options.bootstrap_servers):
            return call()
