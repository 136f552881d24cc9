"""Topics: their names, what each keeps and for how long; what travels on them stands in ``domain/records.py``."""

from typing import NamedTuple

SCHEMA_VERSION = 1
"""Of every record, in its header ``schema``."""

_DAY_MS = 86_400_000


class Topic(NamedTuple):
    """One topic as it is made."""

    name: str
    partitions: int = 0  # 0: as many as the settings say, keyed by symbol
    retention_ms: int = 7 * _DAY_MS  # of a topic that is not compacted
    compacted: bool = False  # the newest record of a key stays

    @property
    def is_dead(self) -> bool:
        """Whether it keeps another topic's dead letters."""
        return self.name.endswith(".dead")

    @property
    def dead(self) -> "Topic":
        """Where its records go that cannot be read, each with the reason in a header."""
        return Topic(f"{self.name}.dead", 1, 30 * _DAY_MS)


EQUITY_TICKS = Topic("market.equity.ticks")
ENRICHED_TICKS = Topic("market.enriched.ticks")
SCANNER_SUGGESTIONS = Topic("scanner.suggestions", 1)
OPTION_GREEKS = Topic("market.option.greeks")
ORDER_EVENTS = Topic("orders.events", 0, 30 * _DAY_MS)
FEATURE_STATE = Topic("feature_engine.changelog", 1, compacted=True)
INGESTOR_STATE = Topic("upstox_ingestor.changelog", 1, compacted=True)

TOPICS = (
    EQUITY_TICKS,
    ENRICHED_TICKS,
    SCANNER_SUGGESTIONS,
    OPTION_GREEKS,
    ORDER_EVENTS,
    FEATURE_STATE,
    INGESTOR_STATE,
)
"""Every topic of the platform; :attr:`Topic.dead` stands beside those that are read."""
