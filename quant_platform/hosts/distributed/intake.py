"""Records off the bus: each read by its kind, and those that cannot be read set aside with the reason, counted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from quant_platform.domain.records import MAX_RECORD_BYTES, Reader, Unreadable
from quant_platform.domain.topics import SCHEMA_VERSION
from quant_platform.hosts.health import Health
from quant_platform.ports.bus import Offsets, Record, RecordWriter

_log = structlog.get_logger(__name__)


class Read(NamedTuple):
    """A record, and what was understood."""

    record: Record
    content: Any  # a struct of ``domain/records.py``, of the record's kind; None where it was set aside


class Intake:
    """Reads the records of one topic.

    Args:
        readers: kind (the header's) → how its values are read.
        writer: takes dead letters; they are durable when it is flushed.
        health: counts them.
    """

    def __init__(self, readers: Mapping[str, Reader], writer: RecordWriter, health: Health) -> None:
        self._readers = readers
        self._writer = writer
        self._health = health

    def read(self, records: Iterable[Record]) -> list[Read]:
        """Every record with its content, in order; those without go to the dead letters."""
        found: list[Read] = []
        readers = self._readers
        for record in records:
            reader = readers.get(record.kind)
            if reader is None or record.schema != SCHEMA_VERSION or len(record.value) > MAX_RECORD_BYTES:
                content: Any = Unreadable(self._doubt(record))
            else:
                content = reader.read(record.value)
            if type(content) is Unreadable:
                self.set_aside(record, content.reason)
                content = None
            found.append(Read(record, content))
        return found

    def set_aside(self, record: Record, reason: str) -> None:
        """Send a record to the dead letters of its topic."""
        self._writer.set_aside(record, reason)
        self._health.dead_letters.labels(record.topic).inc()
        _log.warning(
            "a record was set aside",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key[:64],
            reason=reason,
        )

    def _doubt(self, record: Record) -> str:
        if len(record.value) > MAX_RECORD_BYTES:
            return f"{len(record.value)} bytes are too many: a record has at most {MAX_RECORD_BYTES}"
        if record.schema != SCHEMA_VERSION:
            return f"schema {record.schema} is not known: this program reads {SCHEMA_VERSION}"
        return f"kind {record.kind!r} is not known: this topic carries {', '.join(self._readers)}"


def following(records: Sequence[Record]) -> Offsets:
    """Where reading goes on after these records."""
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def count_read(records: Sequence[Record], health: Health) -> None:
    """Count records by topic."""
    for topic, n in Counter(record.topic for record in records).items():
        health.read.labels(topic).inc(n)
