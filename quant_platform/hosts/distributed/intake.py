"""Records off the bus: each read by its kind, and those that cannot be read set aside with the reason, counted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import structlog

from quant_platform.domain.depth_json import DepthColumns, plain, read_depth
from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import full_symbol
from quant_platform.domain.nse_calendar import FIRST_DAY
from quant_platform.domain.records import (
    MAX_RECORD_BYTES,
    BarsRecord,
    ClockRecord,
    EnrichedAsRead,
    EnrichedRecord,
    FeaturesRecord,
    GreeksRecord,
    Reader,
    TickAsRead,
    TickRecord,
    Unreadable,
)
from quant_platform.domain.session import midnight_ns
from quant_platform.domain.topics import SCHEMA_VERSION
from quant_platform.hosts.health import Health
from quant_platform.ports.bus import GroupReader, Offsets, Record, RecordReader, Records

IDLE_S = 0.05
"""How long to wait for a first record."""
COMPANY_S = 0.002
"""How long to wait for those that come with it: from many partitions, or in one frame."""
MANY = 500
MANY_S = 0.03
"""How long instead where the turn before took so many: a market at this rate needs few turns more than quick ones."""

_MARKET = frozenset({TickAsRead, EnrichedAsRead, FeaturesRecord, BarsRecord, ClockRecord, GreeksRecord})
_TICKS = frozenset({TickAsRead, EnrichedAsRead, FeaturesRecord})
_WHOLE: dict[type[Any], Reader] = {TickAsRead: Reader(TickRecord), EnrichedAsRead: Reader(EnrichedRecord)}
"""How a record is read whose depth is not plain."""
FIRST_NS = midnight_ns(FIRST_DAY)
"""Stamps before it are before the exchange calendar begins, and no core can take them."""

_log = structlog.get_logger(__name__)


class Read(NamedTuple):
    """A record, and what was understood."""

    record: Record
    content: Any  # a struct of ``domain/records.py``, of the record's kind, its depth plain; None: it was set aside


class DeadLetters(Protocol):
    """What becomes of records that cannot be read; a :class:`~quant_platform.ports.bus.RecordWriter` sends them."""

    def set_aside(self, record: Record, reason: str) -> None:
        """Keep the record as it is, with the reason."""
        ...


class Intake:
    """Reads the records of one topic.

    Args:
        readers: kind (the header's) → how its values are read.
        dead_letters: take what cannot be read.
        health: counts it.
    """

    def __init__(self, readers: Mapping[str, Reader], dead_letters: DeadLetters, health: Health) -> None:
        self._readers = readers
        self._dead_letters = dead_letters
        self._health = health
        self._symbols: set[str] = set()  # that are well spelled
        self.depth: DepthColumns = read_depth([])[0]
        """Of the ticks that the last :meth:`read` could read, row by row."""

    def read(self, records: Iterable[Record]) -> list[Read]:
        """Every record with its content, in order; those without go to the dead letters."""
        found: list[Read] = []
        readers, symbols, new = self._readers, self._symbols, tuple.__new__
        with_depth: list[int] = []
        unreadable: list[int] = []
        for record in records:
            reader = readers.get(record.kind)
            if reader is None or record.schema != SCHEMA_VERSION or len(record.value) > MAX_RECORD_BYTES:
                content: Any = Unreadable(self._doubt(record))
            else:
                content = reader.read(record.value)
            schema = type(content)
            if schema not in _TICKS or content.symbol not in symbols or content.ts < FIRST_NS:  # as hardly any are
                content = self._judged(content)
                if type(content) is Unreadable:
                    unreadable.append(len(found))
            if type(content) in _WHOLE:
                with_depth.append(len(found))
            found.append(new(Read, (record, content)))
        unreadable += self._read_depth(found, with_depth)
        for place in sorted(unreadable):
            record, content = found[place]
            self.set_aside(record, content.reason)
            found[place] = Read(record, None)
        return found

    def set_aside(self, record: Record, reason: str) -> None:
        """Send a record to the dead letters of its topic."""
        self._dead_letters.set_aside(record, reason)
        self._health.dead_letters.labels(record.topic).inc()
        _log.warning(
            "a record was set aside",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key[:64],
            reason=reason,
        )

    def _judged(self, content: Any) -> Any:
        """What was understood, or why no core can take it."""
        if type(content) not in _MARKET:
            return content
        if content.ts < FIRST_NS:
            return Unreadable(f"time {content.ts} is before {FIRST_DAY}, where the exchange calendar begins")
        symbol = getattr(content, "symbol", None)
        if symbol is not None and symbol not in self._symbols:
            try:
                if full_symbol(symbol) != symbol:
                    return Unreadable(f"{symbol!r} names no segment")
            except DataError as error:
                return Unreadable(error.what)
            self._symbols.add(symbol)
        return content

    def _read_depth(self, found: list[Read], places: Sequence[int]) -> list[int]:
        """Make columns of the depths, and plain those that another program wrote in its own way.

        Returns:
            The places of records whose depth cannot be read.
        """
        depths = [found[place].content.depth for place in places]
        self.depth, is_plain = read_depth(depths)
        if is_plain.all():
            return []
        unreadable = []
        for row in np.flatnonzero(~is_plain).tolist():
            record, content = found[places[row]]
            whole = _WHOLE[type(content)].read(record.value)
            if type(whole) is Unreadable:
                unreadable.append(places[row])
                found[places[row]] = Read(record, whole)
            else:
                content.depth = plain(whole.depth)
        contents = [found[place].content for place in places]
        self.depth, _ = read_depth([content.depth for content in contents if type(content) is not Unreadable])
        return unreadable

    def _doubt(self, record: Record) -> str:
        if len(record.value) > MAX_RECORD_BYTES:
            return f"{len(record.value)} bytes are too many: a record has at most {MAX_RECORD_BYTES}"
        if record.schema != SCHEMA_VERSION:
            return f"schema {record.schema} is not known: this program reads {SCHEMA_VERSION}"
        return f"kind {record.kind!r} is not known: this topic carries {', '.join(self._readers)}"


def take(reader: GroupReader | RecordReader, most: int, before: int) -> Records:
    """The next records, as soon as there is one: whoever asks for many waits for many, and an order waits with them.

    Args:
        reader: of one topic.
        most: how many records a turn takes.
        before: how many the turn before this one took.
    """
    return reader.poll(most, IDLE_S, COMPANY_S if before < MANY else MANY_S)


def following(records: Records) -> Offsets:
    """Where reading goes on after these records."""
    last = dict(zip(records.partitions, records.offsets, strict=True))
    return {(records.topic, partition): offset + 1 for partition, offset in last.items()}


def count_read(records: Records, health: Health) -> None:
    """Count what one reader read."""
    if records:
        health.read.labels(records.topic).inc(len(records))
