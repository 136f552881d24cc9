"""What the servers say of themselves when the doctor asks: row types of the probes, which change nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quant_platform.ports.ledger_store import HaltFlag


class TopicFound(NamedTuple):
    """A topic as the bus keeps it."""

    partitions: int
    retention_ms: int  # -1: for ever
    compacted: bool


class GroupFound(NamedTuple):
    """How far a consumer of a topic is behind."""

    group: str
    topic: str
    lags: Mapping[int, int]  # partition → records not done yet


def lags_of(
    group: str, offsets: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
) -> list[GroupFound]:
    """How far a group is behind in each topic that is there, by topic.

    Args:
        group: its name.
        offsets: (topic, partition) → first record not done yet.
        ends: (topic, partition) → offset that the next record will bear.
    """
    found: dict[str, dict[int, int]] = {}
    for topic, partition in sorted(place for place in offsets if place in ends):
        lag = ends[topic, partition] - offsets[topic, partition]
        found.setdefault(topic, {})[partition] = max(lag, 0)
    return [GroupFound(group, topic, lags) for topic, lags in found.items()]


class BusFound(NamedTuple):
    """The message bus."""

    brokers: int
    cluster: str  # its id
    topics: Mapping[str, TopicFound]
    ends: Mapping[tuple[str, int], int]  # (topic, partition) → offset that its next record will bear
    groups: Sequence[GroupFound]


class LedgerFound(NamedTuple):
    """The ledger's database."""

    version: str  # of the server
    clock_ns: int  # the server's, ns UTC
    revision: str | None  # of the schema; None for a database without our tables
    head: str  # the revision of this program
    is_known: bool  # whether this program has the migration that made the revision
    missing: Sequence[str]  # tables of ours that are not there
    offsets: Mapping[str, Mapping[tuple[str, int], int]]  # portfolio → (topic, partition) → first record not done
    waiting: int  # records that were committed and not published
    audit_rows: int | None  # rows of audit chains that hold; None where nobody asked, or they do not
    audit_error: str  # why they do not; empty where they do
    halts: Mapping[str, HaltFlag]  # portfolio → its halt flag, of those that are halted


class SeriesFound(NamedTuple):
    """A table of time series."""

    name: str
    wrong: str  # how it is unlike this program's; empty where it is alike
    cure: str  # of that
    behind: int  # commits that cannot be read yet
    fault: str  # why there is no progress; empty where there is


class TimeSeriesFound(NamedTuple):
    """The store of time series."""

    version: str
    clock_ns: int  # the server's, ns UTC
    tables: Sequence[SeriesFound]  # of ours that are there


class CacheFound(NamedTuple):
    """The cache."""

    version: str
    clock_ns: int  # the server's, ns UTC


class BucketFound(NamedTuple):
    """The bucket of objects."""

    server: str  # what the server calls itself; empty where it says nothing
    is_there: bool
