"""upstox_ingestor as a service: the feed, its subscriptions and its clocks onto the bus."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time

import structlog

from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.adapters.clock.system import SystemClock
from quant_platform.domain.errors import BrokerError, RefusedRecordError, SafetyError, UnavailableError
from quant_platform.domain.instruments import Instrument, SymbolTable
from quant_platform.domain.session import ist_date, ist_time, ns_at, session_on
from quant_platform.domain.ticks import LEVELS
from quant_platform.domain.topics import EQUITY_TICKS, INGESTOR_STATE, SCANNER_SUGGESTIONS
from quant_platform.hosts import wiring
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.days import days_between, end_of_day
from quant_platform.hosts.distributed import ingestor_state
from quant_platform.hosts.distributed.connections import kafka, redis
from quant_platform.hosts.distributed.ingestor_state import Snapshot, WrittenSince
from quant_platform.hosts.distributed.ledger_connections import postgres, postgres_url
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.distributed.suggestions import follow_suggestions
from quant_platform.hosts.distributed.tick_stream import TickStream
from quant_platform.hosts.feed_host import FeedHost, FeedNumbers
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.pace import Pace
from quant_platform.hosts.process import Backoff, Pauses
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.hosts.wiring import Market
from quant_platform.ports.bus import Bus, RecordWriter
from quant_platform.protocol.upstox.paths import API_HOST
from quant_platform.services.ingestion.normalise import Normaliser

MOMENT = "%Y-%m-%d %H:%M:%S"
FLUSH_EVERY_S = 0.1
LET_GO_EVERY_S = 0.025
"""How often at most ticks are followed by their clock, on the wall: Kafka has twelve requests of each (ADR 27)."""
COMPANY_S = 0.001
"""How long a first tick waits for others of its stamp, which may come in frames of their own."""
KEEP_EVERY_S = 5.0
"""How often a restart is provided for; what is sent in between is read back."""
LISTED_BY = clock_time(6, 30)
"""Upstox refreshes its list of instruments about 06:00 IST, after the token of the day before has died."""
LOOK_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Bring the market onto the bus until SIGTERM.

    Raises:
        ConfigurationError: a setting is missing or wrong, a password among them.
        QuantError: any but a broker's and :class:`UnavailableError`, which are waited on.
    """
    postgres_url(settings)  # a password that is not set needs no server to be missed
    with redis(settings, health) as lookups:
        asyncio.run(until_stopped(Ingestor(settings, options, health, lookups).run))


@dataclass
class Serving:
    """One market while it is brought onto the bus."""

    market: Market
    host: FeedHost
    stream: TickStream
    writer: RecordWriter
    bus: Bus
    suggestions_from: int
    """Offset of the scanner's next suggestion."""

    def snapshot(self, offsets: Mapping[int, int]) -> Snapshot:
        """What another process needs to go on, besides the records from these offsets on."""
        admission, normaliser = self.stream.snapshot()
        return Snapshot(
            offsets=dict(offsets),
            symbols=list(self.stream.symbols),
            admission=admission,
            normaliser=normaliser,
            subscriptions=self.host.subscriptions(),
            suggestions_from=self.suggestions_from,
            clock_ns=self.stream.clock_ns,
            duplicates=self.stream.duplicates,
            reconnects=self.host.numbers.reconnects,
            gaps=self.host.numbers.gaps,
        )

    def resume(self, snapshot: Snapshot | None, written: WrittenSince) -> None:
        """Go on with an earlier process's subscriptions; what it missed since is a gap.

        Raises:
            SafetyError: the market stands at a moment before one that is on the bus already.
        """
        now_ns, sent_ns = self.market.first_ns, self.stream.clock_ns
        if now_ns < sent_ns and now_ns != self.market.end_ns:
            raise SafetyError(
                f"the market's clock shows {ist_time(now_ns):{MOMENT}}, and {EQUITY_TICKS.name} has "
                f"{ist_time(sent_ns):{MOMENT}} already",
                "a simulated market that starts over needs empty topics: quant up --mode distributed makes them so",
            )
        if snapshot is not None:
            numbers = FeedNumbers(snapshot.reconnects, snapshot.gaps)
            self.host.resume(snapshot.subscriptions, numbers, written.lost_since(snapshot))
        else:
            self.host.lost_since(written.lost_since(None))
        self.host.add_subscribed(written.warmed_up)


class Ingestor:
    """One market onto the bus: a simulated one to its end, the real one day after day.

    Args:
        settings: of the installation.
        options: whether it is a replay, and the settings file, from which the token is read anew.
        health: of this process.
        lookups: take what is subscribed.
    """

    def __init__(self, settings: Settings, options: ServiceOptions, health: Health, lookups: LookupWriter) -> None:
        self._settings = settings
        self._options = options
        self._health = health
        self._lookups = lookups
        self._scanned = settings.feed.subscribe == "scanner"
        self._connected = health.gauge("quant_feed_connected", "1 while the feed is up")
        self._in_session = health.gauge("quant_feed_in_session", "1 while the exchange trades")
        self._frames = health.counter("quant_feed_frames_total", "Frames received")
        self._numbers: FeedNumbers | None = None  # of the market that is served; None before the first
        health.counter_of(
            "quant_feed_gaps_total",
            "Gaps in the feed during sessions",
            lambda: self._numbers.gaps if self._numbers else None,
        )
        health.counter_of(
            "quant_feed_reconnects_total",
            "Times the feed came back",
            lambda: self._numbers.reconnects if self._numbers else None,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the market is over, and then until stopped.

        Raises:
            SafetyError: the market is at a moment before one that is on the bus already.
            QuantError: any but a broker's and :class:`UnavailableError`, which are waited on.
        """
        backoff = Backoff(self._health)
        while True:
            began = time.monotonic()
            try:
                await self._serve()
            except (BrokerError, UnavailableError) as error:
                # A token that died is among them: a fresh one may be set at any time.
                trouble = UnavailableError(error.what, error.cure)
                await asyncio.sleep(backoff.pause_after(trouble, time.monotonic() - began))
                continue
            if self._settings.upstox.base_url != API_HOST:
                break
            await self._rest_of_the_night()
        while not stop.is_set():
            self._health.turned()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _serve(self) -> None:
        bus = kafka(self._settings)
        await asyncio.to_thread(bus.ensure, [EQUITY_TICKS, INGESTOR_STATE, SCANNER_SUGGESTIONS])
        settings = load_settings(self._options.config)  # anew: there may be a token by now
        market = await wiring.reach_market(settings, self._options.config)
        writer = bus.writer()
        try:
            self._in_session.set_function(lambda: float(market.in_session()))
            universe = await market.universe(whole=self._options.whole_universe)
            await asyncio.to_thread(self._save, universe)
            snapshot = await asyncio.to_thread(ingestor_state.newest, bus)
            written = await asyncio.to_thread(
                ingestor_state.written_since, bus, {} if snapshot is None else snapshot.offsets
            )
            if market.control is not None and any(clock.last for clock in written.clocks.values()):
                return  # it was over before
            stream = self._stream(market, universe, snapshot, writer, bus.partitions(EQUITY_TICKS.name))
            stream.catch_up(written)
            host = FeedHost(stream, stream, market.rest, market.clock, universe)
            serving = Serving(market, host, stream, writer, bus, 0 if snapshot is None else snapshot.suggestions_from)
            serving.resume(snapshot, written)
            self._numbers = host.numbers
            await self._days(serving)
            await _flushed(writer, self._health)
        finally:
            writer.close()
            await market.close()

    async def _rest_of_the_night(self) -> None:
        """Until the broker's list of the next day is out."""
        clock = SystemClock()
        tomorrow = ist_date(clock.now_ns()) + timedelta(days=1)
        while clock.now_ns() < ns_at(tomorrow, LISTED_BY):
            self._health.turned()
            await asyncio.sleep(LOOK_EVERY_S)

    def _save(self, universe: list[Instrument]) -> None:
        with postgres(self._settings, self._health.waiting) as ledger:
            ledger.save_instruments(universe)

    def _stream(
        self,
        market: Market,
        universe: list[Instrument],
        snapshot: Snapshot | None,
        writer: RecordWriter,
        partitions: int,
    ) -> TickStream:
        table = SymbolTable()
        listed = {instrument.symbol: instrument for instrument in universe}
        for symbol in [] if snapshot is None else snapshot.symbols:
            table.add(listed.get(symbol, symbol))
        keys = {instrument.instrument_key: table.add(instrument) for instrument in universe}
        live = market.control is None
        stream = TickStream(
            table,
            Normaliser(table, keys, LEVELS if market.depth else 0),
            writer,
            partitions,
            self._health,
            self._frames,
            now_ns=market.clock.now_ns if live else None,
            lockstep=isinstance(market.clock, LockstepClock),
        )
        if snapshot is not None:
            stream.restore(snapshot)
        return stream

    async def _days(self, serving: Serving) -> None:
        """Every session of the market, its clock at each close and at the end."""
        market, host, stream = serving.market, serving.host, serving.stream
        feed = market.feed_to(host, self._settings.feed.stall_after_s)
        host.attach(feed)
        lockstep = isinstance(market.clock, LockstepClock)
        pace = market.pace_for(feed, lambda ts: stream.tell_time(max(ts, stream.newest)))
        tasks = [asyncio.create_task(self._look_after(serving))]
        if not lockstep:
            tasks += [asyncio.create_task(each) for each in (feed.run(), market.keep_time(), _let_go(stream))]
        self._health.working()
        try:
            async with failing_together(tasks), failing_together(await self._subscribe(serving)):
                last = market.first_ns if market.end_ns is None else market.end_ns
                for day in days_between(market.first_ns, last):
                    await self._day(day, serving, pace)
                stream.tell_time(stream.clock_ns + 1, last=True)  # later than every clock: else nothing lets it go
        finally:
            host.stopping = True
            await feed.disconnect("the ingestor stops")

    async def _subscribe(self, serving: Serving) -> list[asyncio.Task[None]]:
        """Ask for the first day's symbols; returns what follows the scanner, where it chooses them."""
        host = serving.host
        await host.start_day(ist_date(serving.market.first_ns), scanned=self._scanned)
        await host.subscribe_again()
        if self._scanned:
            return [asyncio.create_task(self._follow_suggestions(serving))]
        await host.subscribe([instrument.symbol for instrument in host.universe])
        return []

    async def _day(self, day: date, serving: Serving, pace: Pace) -> None:
        stream = serving.stream
        await serving.host.start_day(day, scanned=self._scanned)
        hours = session_on(day)
        if hours is not None:
            await pace.until(hours.last_close_ns)
            stream.tell_time(hours.last_close_ns)
        end_ns = end_of_day(day, hours, to_midnight=self._options.whole_universe)
        await pace.until(end_ns)
        stream.tell_time(end_ns)
        await _flushed(serving.writer, self._health)

    async def _look_after(self, serving: Serving) -> None:
        """Have refusals of Kafka noticed, keep what a restart needs, and show how the feed is."""
        kept_at = time.monotonic()
        host = serving.host
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await _flushed(serving.writer, self._health)
            host.tell_set_aside()
            self._lookups.put_subscriptions(host.subscribed)
            self._connected.set(host.connected)
            if time.monotonic() - kept_at >= KEEP_EVERY_S:
                await self._keep(serving)
                kept_at = time.monotonic()

    async def _keep(self, serving: Serving) -> None:
        """Keep a snapshot; where Kafka cannot be asked now, the one before is as good, and the feed goes on."""
        try:
            # The offsets first: what lies before them is in the state, and what is read again changes nothing.
            offsets = await asyncio.to_thread(serving.bus.ends, EQUITY_TICKS.name)
        except UnavailableError as error:
            self._show("no snapshot is kept", error)
            return
        snapshot = serving.snapshot(offsets)
        await _flushed(serving.writer, self._health)
        ingestor_state.keep(snapshot, serving.writer)

    async def _follow_suggestions(self, serving: Serving) -> None:
        """Subscribe what the scanner picks, within a second; the feed goes on while none can be read."""
        known = {instrument.symbol for instrument in serving.host.universe}
        pauses = Pauses()

        async def subscribe(picks: Sequence[str]) -> None:
            await serving.host.subscribe([symbol for symbol in picks if symbol in known])

        def done(following: int) -> None:
            serving.suggestions_from = following
            pauses.begin_anew()

        while True:
            try:
                await follow_suggestions(serving.bus, self._health, serving.suggestions_from, subscribe, done)
            except UnavailableError as error:
                self._show("suggestions cannot be followed", error)
                await asyncio.sleep(pauses.next())

    def _show(self, what: str, error: UnavailableError) -> None:
        """Tell of a fault beside which the feed goes on."""
        self._health.waiting(str(error))
        _log.warning(what, reason=str(error))


async def _let_go(stream: TickStream) -> None:
    """Have ticks followed by their clock at once, but for those that come soon after another clock."""
    while True:
        await stream.has_ticks.wait()
        await asyncio.sleep(COMPANY_S)
        stream.let_go()
        await asyncio.sleep(LET_GO_EVERY_S - COMPANY_S)


async def _flushed(writer: RecordWriter, health: Health) -> None:
    """Wait, visibly, until everything sent is durable.

    Raises:
        RefusedRecordError: Kafka will never take one of them.
    """
    while True:
        try:
            await asyncio.to_thread(writer.flush)
        except RefusedRecordError:
            raise
        except UnavailableError as error:
            health.waiting(str(error))
        else:
            health.working()
            return
