"""The exchange itself: a market, a clock that moves through it, and the feeds that are shown what happens."""

import asyncio
from collections.abc import Sequence

from quant_platform.domain.errors import DataError, QuantError, UnavailableError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import midnight_ns, ns_at
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.protocol.upstox.feed_requests import UNSUBSCRIBE, FeedRequest
from quant_platform.protocol.upstox.limits import FEED_CONNECTIONS
from quant_platform.simulator.background import beside_the_loop
from quant_platform.simulator.connection import FeedConnection
from quant_platform.simulator.feed_frames import FrameWriter
from quant_platform.simulator.market_day import MarketDay
from quant_platform.simulator.market_status import market_info
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.source import MarketSource
from quant_platform.simulator.timetable import Timetable

LONGEST_NAP_S = 0.05
SHORTEST_NAP_S = 0.002
STALLED_S = 10.0
"""A client that has not read for this long would hold up everybody's market."""


class Exchange:
    """A market in motion. All methods belong to one event loop.

    Args:
        source: the market.
        options: speed, cuts, where to start.

    Attributes:
        now_ns: the clock, ns UTC.
        row: how many rows of the day have happened.
    """

    def __init__(self, source: MarketSource, options: ExchangeOptions) -> None:
        self.source = source
        self.speed = options.speed
        self.timetable = Timetable(source.trading_days(), source.instruments)
        first_day = source.trading_days()[0]
        start = self.timetable.start_ns if options.start is None else ns_at(first_day, options.start)
        self.start_ns = options.seek_ns if options.seek_ns is not None else start
        self._sends_first_rows = options.seek_ns is None and options.start is None
        self.now_ns = self.start_ns
        self._day: MarketDay | None = None
        self.row = 0
        self.writer = FrameWriter(source.instruments)
        self._days = source.days()
        self._following = list(source.trading_days())
        self._cuts = self.timetable.cuts(options.cut, options.seed, self.start_ns)
        self._refused_until = 0
        self._connections: list[FeedConnection] = []
        self._newest: FeedConnection | None = None
        self._turn = asyncio.Lock()
        self._loaded = asyncio.Event()
        self._started = asyncio.Event()
        self._failure: QuantError | None = None
        if options.run_at_once:
            self._started.set()

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Every security, by number."""
        return self.source.instruments

    @property
    def day(self) -> MarketDay:
        """The market of the current date.

        Raises:
            UnavailableError: it is still being made; :meth:`ready` waits for it.
        """
        if self._day is None:
            raise UnavailableError("the exchange is still making its market", "try again in a moment")
        return self._day

    @property
    def refuses_feeds(self) -> bool:
        """Whether a cut is in force: no feed can be authorised or connected."""
        return self.now_ns < self._refused_until

    @property
    def finished(self) -> bool:
        """Whether the last close is past and every row has happened."""
        if self._day is None or self._following:
            return False
        return self.now_ns >= self.timetable.end_ns and self.row == self._day.ticks.ts.size

    async def run(self) -> None:
        """Load the first day and, unless a client moves the clock, move it; ends with the market."""
        try:
            await self._load_first_day()
            if self.speed is not None:
                await self._started.wait()
                await self._free_run(self.speed)
        except QuantError as error:
            self._failure = error
        finally:
            self._loaded.set()

    async def ready(self) -> None:
        """Wait until there is a market to show.

        Raises:
            QuantError: the market could not be loaded.
        """
        await self._loaded.wait()
        if self._failure is not None:
            raise self._failure

    async def _load_first_day(self) -> None:
        while True:
            await self._load_next_day()
            if not self._following or self.start_ns < midnight_ns(self._following[0]):
                break
        if not self._sends_first_rows:
            self.row = self.day.rows_until(self.start_ns)
        elif self.day.ticks.ts.size:
            self.start_ns = self.now_ns = min(self.start_ns, int(self.day.ticks.ts[0]))
        self._loaded.set()

    async def _load_next_day(self) -> None:
        expected = self._following.pop(0)
        day = await beside_the_loop(lambda: next(self._days, None))
        if day is None or day.day != expected:
            raise DataError(f"the data of {expected} is gone", "leave the files alone while they are replayed")
        self._day = day
        self.row = 0

    # The clock

    async def advance(self, to_ns: int) -> None:
        """Let everything happen up to ``to_ns``, or up to the next cut if that comes first.

        Raises:
            QuantError: the market's next day could not be loaded.
        """
        await self.ready()
        async with self._turn:
            try:
                await self._happen_until(to_ns)
            except QuantError as error:
                self._failure = error
                raise

    async def requests_worked_off(self, count: int) -> None:
        """Wait until the newest feed has worked off that many requests, or is lost; at once if there is none."""
        feed = self._newest
        while feed is not None and not feed.lost.is_set() and feed.requests < count:
            feed.progress.clear()
            await feed.progress.wait()

    async def _happen_until(self, to_ns: int) -> None:
        cut = self._cuts.pop(0) if self._cuts and self._cuts[0].at <= to_ns else None
        target = cut.at if cut else to_ns
        while True:
            await self._show_until(target)
            if not self._following or target < midnight_ns(self._following[0]):
                break
            await self._load_next_day()
        self.now_ns = max(self.now_ns, target)
        if cut:
            self._refused_until = cut.until
            for feed in self._connections:
                feed.drop()
            self._connections.clear()

    async def _show_until(self, target: int) -> None:
        stop = self.day.rows_until(target)
        if stop > self.row:
            for feed in tuple(self._connections):  # a client may come or go meanwhile
                await self._show(feed, stop)
            self.row = stop
        self._connections = [feed for feed in self._connections if not feed.lost.is_set()]

    async def _show(self, feed: FeedConnection, stop: int) -> None:
        """Show a feed the rows up to ``stop``; one that does not read ends, unless it is the one that drives."""
        drives = self.speed is None and feed is self._newest
        try:
            async with asyncio.timeout(None if drives else STALLED_S):
                await feed.show(self.day, self.row, stop)
        except TimeoutError:
            feed.drop()

    async def _free_run(self, speed: float) -> None:
        """Move the clock ``speed`` times as fast as the wall's, and at once through hours nobody wants to watch."""
        loop = asyncio.get_running_loop()
        while not self.finished:
            runs, until = self.timetable.worth_watching(self.now_ns)
            if not runs:
                # Past the last close only the auction's prints are left.
                await self.advance(until if until > self.now_ns else int(self.day.ticks.ts[-1]))
                continue
            anchor_ns, anchor = self.now_ns, loop.time()
            while self.now_ns < until:
                await asyncio.sleep(self._nap(speed))
                due = anchor_ns + int((loop.time() - anchor) * speed * NS_PER_SECOND)
                await self.advance(min(max(due, self.now_ns), until))

    def _nap(self, speed: float) -> float:
        """Wall seconds to the next row, within reason."""
        if self.row >= self.day.ticks.ts.size:
            return LONGEST_NAP_S
        ahead = (int(self.day.ticks.ts[self.row]) - self.now_ns) / NS_PER_SECOND / speed
        return min(max(ahead, SHORTEST_NAP_S), LONGEST_NAP_S)

    # Feeds

    def admit(self, feed: FeedConnection) -> None:
        """Take a feed on; one too many ends the oldest."""
        self._connections.append(feed)
        self._newest = feed
        while len(self._connections) > FEED_CONNECTIONS:
            self._connections.pop(0).drop()
        self._started.set()

    def forget(self, feed: FeedConnection) -> None:
        """Let a feed go that is lost."""
        feed.drop()
        if feed in self._connections:
            self._connections.remove(feed)

    @property
    def newest(self) -> FeedConnection | None:
        """The feed that connected last, lost or not."""
        return self._newest

    async def greet(self, feed: FeedConnection) -> None:
        """Send what comes first on a feed."""
        await feed.send(market_info(self.now_ns))

    async def obey(self, feed: FeedConnection, request: FeedRequest) -> None:
        """Bring a request of a feed into force, and show it a snapshot of what it is new to."""
        await self.ready()
        async with self._turn:
            fresh = feed.change(request)
            if request.method != UNSUBSCRIBE:
                await feed.send(self.writer.snapshot(self.day, self.row, self.now_ns, fresh))
            feed.worked_off()
