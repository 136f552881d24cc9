"""The market's side of the embedded platform: its feed, its scans, and the state they are committed with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.ticks import LEVELS
from quant_platform.hosts.embedded import EmbeddedPlatform, FrameIntake
from quant_platform.hosts.feed_host import FeedHost, FeedNumbers
from quant_platform.hosts.scans import Scan, look
from quant_platform.ports.broker import HistorySource, QuoteSource
from quant_platform.ports.clock import Clock
from quant_platform.ports.ledger_views import ScanPick
from quant_platform.services.ingestion.normalise import Normaliser

_log = structlog.get_logger(__name__)


class Broker(QuoteSource, HistorySource, Protocol):
    """What the host asks of the broker besides the feed."""


class MarketHost(FeedHost):
    """A feed host whose ticks go to the embedded platform, and which scans.

    Args:
        platform: the cores.
        broker: quotes and history.
        clock: of the market.
        universe: what is scanned and may be subscribed; each a symbol of the platform's table.
        depth: whether frames carry a book.
        live: whether time is the wall's, so that a stamp in the future is implausible.
        picks: how many a scan gives.
        save_scan: where a scan's result goes.
    """

    def __init__(
        self,
        platform: EmbeddedPlatform,
        broker: Broker,
        clock: Clock,
        universe: Sequence[Instrument],
        *,
        depth: bool,
        live: bool,
        picks: int,
        save_scan: Callable[[int, Sequence[ScanPick]], None],
    ) -> None:
        keys = {i.instrument_key: platform.table.number(i.symbol) for i in universe}
        normaliser = Normaliser(platform.table, keys, LEVELS if depth else 0)
        self.intake = FrameIntake(platform, normaliser, clock.now_ns if live else None, self.commit)
        super().__init__(self.intake, platform, broker, clock, universe)
        self.platform = platform
        self._broker = broker
        self._live = live
        self._picks = picks
        self._save_scan = save_scan
        self.last_scan_ns: int | None = None
        self.last_scan = Scan()

    # Scans.

    async def scan(self, moment_ns: int) -> None:
        """Pick, store and subscribe; a broker that does not answer is tried again at the next scan."""
        try:
            self.last_scan = await look(self._broker, self._instruments.values(), self._picks)
        except (BrokerError, UnavailableError) as error:
            _log.warning("a scan had no quotes", reason=str(error))
            return
        picks = self.last_scan.picks
        self._save_scan(moment_ns, picks)
        await self.subscribe([pick.symbol for pick in picks])
        self.numbers.scans += 1
        self.last_scan_ns = moment_ns

    # State.

    def commit_orders(self) -> None:
        """Commit orders that no fill has taken along yet; in lockstep, where nobody watches, they wait for it."""
        if self.platform.runtime.journal.has_orders:
            self.commit()

    def commit(self) -> None:
        """Commit what happened with the state to go on from."""
        beside = {
            "intake": self.intake.snapshot(),
            "subscriptions": self.subscriptions(),
            "last_scan": self.last_scan_ns,
            "numbers": [self.numbers.reconnects, self.numbers.gaps, self.numbers.scans],
        }
        self.platform.commit(self.platform.snapshot(beside))

    def restore(self, beside: Mapping[str, Any]) -> None:
        """Go on from what :meth:`commit` stored beside the cores' state."""
        self.intake.restore(beside["intake"])
        self.last_scan_ns = beside["last_scan"]
        lost_since_ns = self.platform.moment if self._live else None
        self.resume(beside["subscriptions"], FeedNumbers(*beside["numbers"]), lost_since_ns)
