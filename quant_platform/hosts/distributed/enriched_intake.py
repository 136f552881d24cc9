"""Enriched ticks off the bus as columns; whatever comes among them, or is written in another way, record by record."""

from collections.abc import Mapping
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.enriched_json import EnrichedColumns, KnownSymbols, fill_in, read_enriched
from quant_platform.domain.records import TICK, FeaturesRecord, Reader
from quant_platform.domain.topics import SCHEMA_VERSION
from quant_platform.hosts.distributed.intake import FIRST_NS, DeadLetters, Intake, Read
from quant_platform.hosts.health import Health
from quant_platform.ports.bus import Head, Records

_OURS = Head(TICK, SCHEMA_VERSION)


class EnrichedRead(NamedTuple):
    """What was understood of some records."""

    ticks: EnrichedColumns  # one row each, in order
    is_tick: NDArray[np.bool_]  # of every record, whether it is one of them
    others: list[Read]  # the other records, in order


class EnrichedIntake:
    """Reads the records of ``market.enriched.ticks``; see :class:`.Intake`, which has the last word on each.

    Args:
        readers: kind (the header's) → how its values are read, where they are read one by one.
        dead_letters: take what cannot be read.
        health: counts it.
    """

    def __init__(self, readers: Mapping[str, Reader], dead_letters: DeadLetters, health: Health) -> None:
        self._intake = Intake(readers, dead_letters, health)
        self._known = KnownSymbols()

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols by the numbers that columns name them by."""
        return self._known.names

    def read(self, records: Records) -> EnrichedRead:
        """Every record, as a row or as it is; those that cannot be read go to the dead letters."""
        may_be = [head == _OURS for head in records.heads]
        columns, is_read = read_enriched(list(compress(records.values, may_be)), self._known)
        is_read &= columns.ts >= FIRST_NS
        is_tick = np.array(may_be, np.bool_)
        row_of = np.cumsum(is_tick) - 1
        is_tick[is_tick] = is_read
        places = np.flatnonzero(~is_tick).tolist()
        others = self._intake.read([records[place] for place in places])
        self._known.add(content.symbol for _, content in others if isinstance(content, FeaturesRecord))
        for place, (_, content) in zip(places, others, strict=True):
            if isinstance(content, FeaturesRecord):
                fill_in(columns, row_of[place], content, self._known)
                is_read[row_of[place]] = is_tick[place] = True
        rest = [each for each in others if not isinstance(each.content, FeaturesRecord)]
        return EnrichedRead(columns.select(is_read), is_tick, rest)
