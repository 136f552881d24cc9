"""upstox_ingestor as a service: the feed, its subscriptions and its clocks onto the bus."""

import asyncio
import time
from datetime import date

from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.instruments import Instrument, SymbolTable
from quant_platform.domain.records import Reader
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import LEVELS
from quant_platform.domain.topics import EQUITY_TICKS, SCANNER_SUGGESTIONS
from quant_platform.hosts import wiring
from quant_platform.hosts.config import Settings
from quant_platform.hosts.days import days_between, end_of_day
from quant_platform.hosts.distributed.connections import kafka, postgres
from quant_platform.hosts.distributed.intake import Intake
from quant_platform.hosts.distributed.tick_stream import TickStream
from quant_platform.hosts.feed_host import FeedHost
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.pace import Pace
from quant_platform.hosts.process import Backoff
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.hosts.wiring import Market
from quant_platform.ports.bus import Bus, RecordWriter
from quant_platform.protocol.upstox.paths import API_HOST
from quant_platform.services.ingestion.normalise import Normaliser

FLUSH_EVERY_S = 0.1
SUGGESTIONS_WAIT_S = 0.2


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Bring the market onto the bus until SIGTERM.

    Raises:
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    asyncio.run(until_stopped(Ingestor(settings, options, health).run))


class Ingestor:
    """One market onto the bus, from now to its end.

    Args:
        settings: of the installation.
        options: whether it is a replay, and the settings file, from which the token is read anew.
        health: of this process.
    """

    def __init__(self, settings: Settings, options: ServiceOptions, health: Health) -> None:
        self._settings = settings
        self._options = options
        self._health = health
        self._connected = health.gauge("quant_feed_connected", "1 while the feed is up")
        self._in_session = health.gauge("quant_feed_in_session", "1 while the exchange trades")
        self._gaps = health.gauge("quant_feed_gaps_total", "Gaps in the session's feed")
        self._reconnects = health.gauge("quant_feed_reconnects_total", "Times the feed came back")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the market is over, and then until stopped.

        Raises:
            QuantError: any but :class:`UnavailableError`, which is waited on.
        """
        backoff = Backoff(self._health)
        while True:
            began = time.monotonic()
            try:
                await self._serve()
            except UnavailableError as error:
                await asyncio.sleep(backoff.pause_after(error, time.monotonic() - began))
            else:
                break
        await stop.wait()

    async def _serve(self) -> None:
        bus = kafka(self._settings)
        await asyncio.to_thread(bus.ensure, [EQUITY_TICKS, SCANNER_SUGGESTIONS])
        market = await self._market()
        writer = bus.writer()
        try:
            self._in_session.set_function(lambda: float(market.in_session()))
            universe = await market.universe(whole=self._options.whole_universe)
            await asyncio.to_thread(self._save, universe)
            stream = self._stream(market, universe, writer, bus.partitions(EQUITY_TICKS.name))
            host = FeedHost(stream, stream, market.rest, market.clock, universe)
            await self._days(market, host, stream, writer, bus)
            await _flushed(writer, self._health)
        finally:
            writer.close()
            await market.close()

    async def _market(self) -> Market:
        upstox = self._settings.upstox
        if upstox.base_url == API_HOST:
            return wiring.real_market(self._settings, self._options.config)
        token = upstox.access_token.get_secret_value() if upstox.access_token else ""
        return await wiring.reach_exchange(upstox.base_url, token)

    def _save(self, universe: list[Instrument]) -> None:
        with postgres(self._settings) as ledger:
            ledger.save_instruments(universe)

    def _stream(self, market: Market, universe: list[Instrument], writer: RecordWriter, partitions: int) -> TickStream:
        table = SymbolTable()
        keys = {instrument.instrument_key: table.add(instrument) for instrument in universe}
        live = market.control is None
        return TickStream(
            table,
            Normaliser(table, keys, LEVELS if market.depth else 0),
            writer,
            partitions,
            self._health,
            now_ns=market.clock.now_ns if live else None,
            lockstep=isinstance(market.clock, LockstepClock),
        )

    async def _days(self, market: Market, host: FeedHost, stream: TickStream, writer: RecordWriter, bus: Bus) -> None:
        """Every session of the market, its clock at each close and at the end."""
        feed = market.feed_to(host, self._settings.feed.stall_after_s)
        host.attach(feed)
        lockstep = isinstance(market.clock, LockstepClock)
        # On the wall, ticks of the newest stamp are let go as soon as a turn of the clock brings no more of them.
        pace = market.pace_for(feed, lambda ts: stream.tell_time(max(ts, stream.newest)))
        tasks = [asyncio.create_task(self._look_after(host, writer))]
        if not lockstep:
            tasks += [asyncio.create_task(feed.run()), asyncio.create_task(market.keep_time())]
        if self._settings.feed.subscribe == "all":
            await host.subscribe([instrument.symbol for instrument in host.universe])
        else:
            tasks.append(asyncio.create_task(self._follow_suggestions(host, bus)))
        self._health.working()
        try:
            async with failing_together(tasks):
                last = market.first_ns if market.end_ns is None else market.end_ns
                for day in days_between(market.first_ns, last):
                    await self._day(day, host, pace, stream, writer)
                stream.tell_time(stream.clock_ns + 1, last=True)  # later than every clock: else nothing lets it go
        finally:
            host.stopping = True
            await feed.disconnect("the ingestor stops")

    async def _day(self, day: date, host: FeedHost, pace: Pace, stream: TickStream, writer: RecordWriter) -> None:
        if self._settings.feed.subscribe == "all":
            await host.keep_day(day)
        else:
            await host.begin_day(day)
        session = session_on(day)
        if session is not None:
            await pace.until(session.last_close_ns)
            stream.tell_time(session.last_close_ns)
        end_ns = end_of_day(day, session, to_midnight=self._options.whole_universe)
        await pace.until(end_ns)
        stream.tell_time(end_ns)
        await _flushed(writer, self._health)

    async def _look_after(self, host: FeedHost, writer: RecordWriter) -> None:
        """Have refusals of Kafka noticed, and show how the feed is."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await _flushed(writer, self._health)
            host.tell_set_aside()
            self._connected.set(host.connected)
            self._gaps.set(host.numbers.gaps)
            self._reconnects.set(host.numbers.reconnects)

    async def _follow_suggestions(self, host: FeedHost, bus: Bus) -> None:
        """Subscribe what the scanner picks, within a second."""
        topic = SCANNER_SUGGESTIONS.name
        reader = bus.reader(topic, await asyncio.to_thread(bus.ends, topic))
        writer = bus.writer()
        intake = Intake({"": Reader(list[str])}, writer, self._health)
        known = {instrument.symbol for instrument in host.universe}
        try:
            while True:
                records = await asyncio.to_thread(reader.poll, 100, SUGGESTIONS_WAIT_S)
                for _, picks in intake.read(records):
                    if picks is not None:
                        await host.subscribe([symbol for symbol in picks if symbol in known])
        finally:
            writer.close()
            reader.close()


async def _flushed(writer: RecordWriter, health: Health) -> None:
    """Wait, visibly, until everything sent is durable."""
    while True:
        try:
            await asyncio.to_thread(writer.flush)
        except UnavailableError as error:
            health.waiting(str(error))
        else:
            health.working()
            return
