"""Writing to Kafka: idempotent, durable at every replica, alone or in transactions."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from quant_platform.adapters.bus.kafka_faults import ASK_WITHIN_S, LOG, named, unavailable
from quant_platform.adapters.bus.kafka_reader import asker, places
from quant_platform.domain.errors import RefusedRecordError, UnavailableError
from quant_platform.domain.topics import SCHEMA_VERSION
from quant_platform.ports.bus import GroupReader, Offsets, Record, Source

FLUSH_WITHIN_S = 5.0
COMMIT_WITHIN_S = 5.0
"""For each of the two calls that end a transaction: both fit into the time for which Kafka keeps one open."""
HUNG_AFTER_S = COMMIT_WITHIN_S + 2.0
"""For both together, after which nobody waits for the client any more."""

_PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 256 * 1024,
    "message.max.bytes": 4 * 2**20,
    "delivery.report.only.error": True,  # a callback for each record costs a quarter of the rate
    "log_level": 0,
}
_ALONE = {
    "message.timeout.ms": 0,  # tried for ever
    "linger.ms": 1,
}
_NO_PARTITION = -1
_SCHEMA = str(SCHEMA_VERSION).encode()


Headers = list[tuple[str, str | bytes | None]]


class KafkaWriter:
    """Writes records; each is durable when :meth:`flush` returns.

    A record that Kafka does not take is tried for ever; one that it refuses for good makes the next call fail.

    Args:
        servers: bootstrap servers.
        config: beside what every writer has.
    """

    def __init__(self, servers: str, config: Mapping[str, Any] | None = None) -> None:
        self._servers = servers
        self._refused: tuple[str, KafkaError] | None = None
        self._headers: dict[str, Headers] = {}
        self._is_open = False
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "on_delivery": self._on_refusal,
                "logger": LOG,
                **_PRODUCER,
                **(_ALONE if config is None else config),
            }
        )

    def send(self, topic: str, key: str, value: bytes, kind: str = "", partition: int | None = None) -> None:
        """Hand a record over; without a partition the key chooses it. Waits where too much waits already.

        Raises:
            RefusedRecordError: an earlier record was refused for good.
        """
        self._send(topic, key.encode(), value, self._headers.get(kind) or self._headers_of(kind), partition)

    def set_aside(self, record: Record, reason: str) -> None:
        """Send a record that cannot be read to its dead-letter topic, as it is, with the reason in a header."""
        headers: Headers = [
            ("reason", reason.encode()),
            ("kind", record.kind.encode()),
            ("schema", str(record.schema).encode()),
            ("place", f"{record.topic}[{record.partition}]@{record.offset}".encode()),
        ]
        self._send(f"{record.topic}.dead", record.key.encode(), record.value, headers, 0)

    def flush(self) -> None:
        """Return when everything sent is durable.

        Raises:
            UnavailableError: Kafka does not take it now; another call goes on waiting.
            RefusedRecordError: it refused a record for good.
        """
        with named(self._servers):
            left = self._producer.flush(FLUSH_WITHIN_S)
        self._raise_refusal()
        if left:
            raise UnavailableError(
                f"{left} records wait: Kafka at {self._servers} does not take them", "see whether Kafka runs there"
            )

    def close(self) -> None:
        """Let go of the connection; what was not flushed is dropped."""
        with contextlib.suppress(UnavailableError), named(self._servers):  # one that was fenced off says so once more
            self._producer.purge()
            self._producer.flush(0)

    def _send(self, topic: str, key: bytes, value: bytes, headers: Headers, partition: int | None) -> None:
        if self._refused is not None:
            self._raise_refusal()
        if not self._is_open:
            self._begin()
        where = _NO_PARTITION if partition is None else partition
        while True:
            try:
                self._producer.produce(topic, value, key, where, headers=headers)
            except BufferError:
                with named(self._servers):
                    self._producer.poll(0.1)
                self._raise_refusal()
            except KafkaException as error:
                raise unavailable(f"topic {topic} cannot be written", error, self._servers) from None
            else:
                return

    def _begin(self) -> None:
        """Nothing has to be begun outside of transactions."""
        self._is_open = True

    def _headers_of(self, kind: str) -> Headers:
        headers = self._headers[kind] = [("schema", _SCHEMA), ("kind", kind.encode())]
        return headers

    def _on_refusal(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and error.code() != KafkaError._PURGE_QUEUE and self._refused is None:
            self._refused = f"a record of {len(message.value() or b'')} bytes for topic {message.topic()}", error

    def _raise_refusal(self) -> None:
        if self._refused is not None:
            record, error = self._refused
            found = unavailable(f"{record} could not be written", error, self._servers)
            raise RefusedRecordError(found.what, found.cure)


class KafkaTransactionalWriter(KafkaWriter):
    """Writes records and the places read to, all or nothing.

    Args:
        servers: bootstrap servers.
        name: what an earlier writer of this name left open is dropped, and that writer fenced off.
        timeout_ms: the cluster drops a transaction that is open for longer.
        source: what the transactions move on in; None where they only write.

    Raises:
        UnavailableError: Kafka cannot be reached.
    """

    def __init__(self, servers: str, name: str, timeout_ms: int, source: Source | None = None) -> None:
        config = {
            "transactional.id": name,
            "transaction.timeout.ms": timeout_ms,
            "linger.ms": 5,  # for batches while it is filled: its end sends what is left
            # What a call has to wait for when Kafka dies meanwhile, whatever limit the call is given (ADR 20).
            "socket.timeout.ms": round(COMMIT_WITHIN_S * 1000),
            # A transaction that begins while Kafka still writes the marks of the one before is asked to wait for this
            # long, and more each time; the default of 100 ms is six times what a whole transaction takes.
            "retry.backoff.ms": 2,
        }
        super().__init__(servers, config)
        self._is_hung = False
        with named(servers):
            self._producer.init_transactions(ASK_WITHIN_S)
        if source is not None:
            self._drop_places(source)

    def commit(self, reader: GroupReader, offsets: Offsets) -> None:
        """End the transaction that the first :meth:`send` since the last commit began, with these offsets in it.

        Raises:
            UnavailableError: nothing of the transaction took place, or nobody knows; read again from the last commit.
        """
        if not self._is_open:
            self._begin()
        membership = reader.membership() if offsets else None
        self._wait_for(partial(self._end, places(offsets), membership))
        self._is_open = False

    def close(self) -> None:
        """Drop what is open and let go of the connection; what a hung client holds, the next of its name drops."""
        with contextlib.suppress(UnavailableError):  # else the next writer of this name, or a time-out, drops it
            if self._is_open and not self._is_hung:
                self._wait_for(partial(self._producer.abort_transaction, COMMIT_WITHIN_S))
        if not self._is_hung:
            super().close()

    def _drop_places(self, source: Source) -> None:
        """Drop places that an earlier writer of this name left pending with a group whose coordinator died.

        Kafka forgets them only by the end of another transaction of this name that moves the group (ADR 26).
        """
        stranger = asker(self._servers, source.group)
        try:
            with named(self._servers):
                membership = stranger.consumer_group_metadata()
        finally:
            stranger.close()

        def begin_and_abort() -> None:
            self._producer.begin_transaction()
            nowhere = [TopicPartition(source.topic, 0, 0)]
            self._producer.send_offsets_to_transaction(nowhere, membership, COMMIT_WITHIN_S)
            self._producer.abort_transaction(COMMIT_WITHIN_S)

        try:
            self._wait_for(begin_and_abort)
        except UnavailableError:
            self.close()
            raise

    def _end(self, offsets: list[TopicPartition], membership: Any) -> None:
        if offsets:
            self._producer.send_offsets_to_transaction(offsets, membership, COMMIT_WITHIN_S)
        self._producer.commit_transaction(COMMIT_WITHIN_S)

    def _wait_for(self, call: Callable[[], None]) -> None:
        """Call the client on a thread that can be left behind: librdkafka 2.16 passes its own limits (ADR 20)."""
        ended: Future[None] = Future()

        def do() -> None:
            try:
                call()
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)

        threading.Thread(target=do, name="transaction", daemon=True).start()
        try:
            with named(self._servers):
                ended.result(HUNG_AFTER_S)
        except TimeoutError:
            self._is_hung = True
            raise UnavailableError(
                f"a transaction does not end: the client of Kafka at {self._servers} hangs",
                "nothing: another client takes over",
            ) from None

    def _begin(self) -> None:
        with named(self._servers):
            self._producer.begin_transaction()
        self._is_open = True
