"""market_scanner as a service: every few minutes of a session, the best of the universe into Postgres and onto the bus.

A scan is stored before it is published. One that was stored and perhaps not published, because the process died in
between, is published as it stands when the service is back: whoever reads it may see it twice, never another one.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import structlog

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.domain.records import encode
from quant_platform.domain.session import ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_SECOND
from quant_platform.domain.topics import SCANNER_SUGGESTIONS
from quant_platform.hosts import scans, wiring
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed.connections import kafka
from quant_platform.hosts.distributed.ledger_connections import postgres
from quant_platform.hosts.faults import fault_point
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.pace import Pace
from quant_platform.hosts.process import Backoff
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.hosts.wiring import Market
from quant_platform.ports.bus import RecordWriter
from quant_platform.ports.ledger_views import ScanPick

IDLE_S = 1.0
BEFORE_OPEN_NS = 30 * NS_PER_MINUTE
"""When the day's list of securities is asked for: by then the broker has a new one."""

_log = structlog.get_logger(__name__)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Scan until SIGTERM.

    Raises:
        QuantError: any but a broker's and :class:`UnavailableError`, which are waited on.
    """
    asyncio.run(until_stopped(ScannerService(settings, options, health).run))


class ScannerService:
    """Scans one market, from now to its end.

    Args:
        settings: of the installation.
        options: whether it is a replay, the strategy, whose square-off is the last moment to scan, and the settings
            file, from which the token is read anew.
        health: of this process.
    """

    def __init__(self, settings: Settings, options: ServiceOptions, health: Health) -> None:
        self._settings = settings
        self._options = options
        self._health = health
        strategy, parameters = options.strategy or settings.trading.strategy, settings.trading.parameters
        self._trading = load_strategy(strategy, parameters | dict(options.parameters))[1]
        self._scans = health.counter("quant_scanner_scans_total", "Scans that were published")
        self._last = health.gauge("quant_scanner_last_scan_seconds", "Market time of the newest scan, since the epoch")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the market is over, and then until stopped.

        Raises:
            QuantError: any but a broker's and :class:`UnavailableError`, which are waited on.
        """
        backoff = Backoff(self._health)
        while True:
            began = time.monotonic()
            try:
                await self._serve()
            except BrokerError as error:  # a token that died among them: a fresh one may be set at any time
                trouble = UnavailableError(error.what, error.cure)
            except UnavailableError as error:
                trouble = error
            else:
                break
            await asyncio.sleep(backoff.pause_after(trouble, time.monotonic() - began))
        while not stop.is_set():
            self._health.working()
            await asyncio.sleep(IDLE_S)

    async def _serve(self) -> None:
        with await asyncio.to_thread(postgres, self._settings, self._health.waiting) as ledger:
            bus = kafka(self._settings)
            await asyncio.to_thread(bus.ensure, [SCANNER_SUGGESTIONS])
            settings = load_settings(self._options.config)  # anew: there may be a token by now
            market = await wiring.reach_market(settings, self._options.config)
            writer = bus.writer()
            try:
                pace = market.pace_beside(lambda _: self._health.working())
                async with failing_together([asyncio.create_task(market.keep_time())]):
                    for day in _days(market):
                        await self._day(day, market, pace, ledger, writer)
            finally:
                writer.close()
                await market.close()

    async def _day(self, day: date, market: Market, pace: Pace, ledger: SqlLedger, writer: RecordWriter) -> None:
        await pace.until(midnight_ns(day))
        session = session_on(day)
        if session is None:
            return
        await pace.until(session.open_ns(False) - BEFORE_OPEN_NS)
        universe = await market.universe(whole=self._options.whole_universe)
        moments = scans.moments_of(session, universe, self._trading, self._settings.scanner.interval_min)
        began_ns = market.clock.now_ns()
        async for moment_ns in scans.due(moments, session.last_close_ns, None, pace, market.clock):
            # What is stored of a later moment is of another run of the same simulated day.
            picks = await asyncio.to_thread(ledger.scan_of, moment_ns) if moment_ns <= began_ns else []
            if not picks:
                picks = (await scans.look(market.rest, universe, self._settings.scanner.picks)).picks
                await asyncio.to_thread(ledger.save_scan, moment_ns, picks)
                fault_point("scan stored")
            await self._publish(moment_ns, picks, writer)

    async def _publish(self, moment_ns: int, picks: Sequence[ScanPick], writer: RecordWriter) -> None:
        symbols = [pick.symbol for pick in picks]
        moment = datetime.fromtimestamp(moment_ns // NS_PER_SECOND, UTC).isoformat()
        writer.send(SCANNER_SUGGESTIONS.name, moment, encode(symbols))
        await asyncio.to_thread(writer.flush)
        self._scans.inc()
        self._last.set(moment_ns / NS_PER_SECOND)
        self._health.written.labels(SCANNER_SUGGESTIONS.name).inc()
        _log.info("scanned", moment=moment, picks=symbols)


def _days(market: Market) -> Iterator[date]:
    """Every IST date of the market; the real one goes on."""
    day = ist_date(market.first_ns)
    last = date.max if market.end_ns is None else ist_date(market.end_ns)
    while day <= last:
        yield day
        day += timedelta(days=1)
