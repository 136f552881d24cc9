"""Enriched ticks off the bus as columns; whatever comes among them, or is written in another way, record by record."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.enriched_json import EnrichedColumns, KnownSymbols, read_enriched
from quant_platform.domain.records import TICK, FeaturesRecord, Reader
from quant_platform.domain.topics import SCHEMA_VERSION
from quant_platform.hosts.distributed.intake import FIRST_NS, Intake, Read
from quant_platform.hosts.health import Health
from quant_platform.ports.bus import Record, RecordWriter


class EnrichedRead(NamedTuple):
    """What was understood of some records."""

    columns: EnrichedColumns  # a row for every record
    is_row: NDArray[np.bool_]  # whether the row counts
    others: list[Read]  # the records whose row does not count, in order


class EnrichedIntake:
    """Reads the records of ``market.enriched.ticks``; see :class:`.Intake`, which has the last word on each.

    Args:
        readers: kind (the header's) → how its values are read, where they are read one by one.
        writer: takes dead letters; they are durable when it is flushed.
        health: counts them.
    """

    def __init__(self, readers: Mapping[str, Reader], writer: RecordWriter, health: Health) -> None:
        self._intake = Intake(readers, writer, health)
        self._known = KnownSymbols()

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols by the numbers that columns name them by."""
        return self._known.names

    def read(self, records: Sequence[Record]) -> EnrichedRead:
        """Every record, as a row or one by one; those that cannot be read go to the dead letters."""
        columns, is_row = read_enriched([record.value for record in records], self._known)
        is_row &= columns.ts >= FIRST_NS
        is_row &= [record.kind == TICK and record.schema == SCHEMA_VERSION for record in records]
        others = self._intake.read([records[place] for place in np.flatnonzero(~is_row).tolist()])
        self._known.add(content.symbol for _, content in others if isinstance(content, FeaturesRecord))
        return EnrichedRead(columns, is_row, others)
