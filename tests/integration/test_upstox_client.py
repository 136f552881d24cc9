"""Client, clocks and driver against the simulated exchange, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import date, time
from typing import Any

import numpy as np
import pytest
import uvicorn

from quant_platform.adapters.broker.simulator_control import SimulatorControl
from quant_platform.adapters.broker.upstox_feed import UpstoxFeed
from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.adapters.clock.scaled import ScaledClock
from quant_platform.domain.errors import AuthenticationError, BrokerError
from quant_platform.domain.instruments import SymbolTable, instrument_for
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND, TickBatch, empty_ticks, join
from quant_platform.hosts.lockstep import LockstepDriver
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_source import DayTicks
from quant_platform.services.ingestion.normalise import Normaliser
from quant_platform.simulator.exchange import Exchange
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.server import build_app, open_source

TOKEN = "simulated-token"
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:RELIANCE", "NSE_EQ:TCS", "NSE_EQ:UNHEARD")
DAYS = (date(2026, 4, 23), date(2026, 4, 24))
OPEN, CLOSE = time(9, 15), time(15, 30)


def ticks_of(day: date, seed: int) -> TickBatch:
    """A tick of every symbol each half minute, prices on the five-paise grid, with a book on every other row."""
    random = np.random.default_rng(seed)
    stamps = np.arange(ns_at(day, OPEN), ns_at(day, CLOSE), 30 * NS_PER_SECOND)
    n, k = stamps.size, len(SYMBOLS)
    ticks = empty_ticks(n * k, 5)
    ticks.ts[:] = np.repeat(stamps, k)
    ticks.symbol[:] = np.tile(np.arange(k), n)
    moves = random.integers(-3, 4, (n, k)).cumsum(axis=0)
    ticks.ltp[:] = (100_000 + 5 * moves).ravel()
    ticks.volume[:] = random.integers(1, 500, (n, k)).cumsum(axis=0).ravel()
    ticks.atp[:] = 1000.25
    depth = np.arange(1, 6)
    with_book = np.flatnonzero((np.arange(n * k) // k) % 2 == 0)
    ticks.bid_price[with_book] = ticks.ltp[with_book, None] - 5 * depth
    ticks.ask_price[with_book] = ticks.ltp[with_book, None] + 5 * depth
    ticks.bid_qty[with_book] = 10 * depth
    ticks.ask_qty[with_book] = 20 * depth
    return ticks


class TwoDays:
    """A small market at rest."""

    symbols: Sequence[str] = SYMBOLS
    has_depth = True

    def __init__(self) -> None:
        self.ticks = [ticks_of(day, seed) for seed, day in enumerate(DAYS)]
        self.rows = sum(ticks.ts.size for ticks in self.ticks)

    def trading_days(self) -> Sequence[date]:
        return DAYS

    def days(self) -> Iterator[DayTicks]:
        for day, ticks in zip(DAYS, self.ticks, strict=True):
            yield DayTicks(day, ticks, ())

    def history(self, symbol: str, before: date, bars: int) -> list[Candle]:
        start = ns_at(date(2026, 4, 22), OPEN)
        made = [Candle(start + i * NS_PER_MINUTE, 1, 2, 1, 2, 10 + i) for i in range(375)]
        return made[-bars:] if before > date(2026, 4, 22) else []


class Market:
    """Everything a host would wire together, driven in lockstep."""

    def __init__(self, url: str, data: TwoDays, start_ns: int) -> None:
        self.data = data
        self.clock = LockstepClock(start_ns)
        self.rest = UpstoxRest(url, lambda: TOKEN, self.clock)
        self.control = SimulatorControl(url, lambda: TOKEN)
        self.feed = UpstoxFeed(self.rest, self.clock, self, lambda: True, keepalive_s=None)
        self.driver = LockstepDriver(self.control, self.feed, self.clock)
        table = SymbolTable()
        self.keys = {instrument_for(symbol).instrument_key: table.add(symbol) for symbol in SYMBOLS}
        self.normaliser = Normaliser(table, self.keys)
        self.batches: list[TickBatch] = []
        self.gaps: list[int | None] = []
        self.reasons: list[str] = []
        self.prepare: Callable[[], Coroutine[Any, Any, None]] | None = None

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        batch = self.normaliser.ticks(payload)
        if batch is not None:
            self.batches.append(batch)

    async def on_connected(self, lost_since_ns: int | None) -> None:
        self.gaps.append(lost_since_ns)
        if self.prepare is not None:
            await self.prepare()

    def on_disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    async def close(self) -> None:
        await self.feed.disconnect("the test is over")
        await self.rest.close()
        await self.control.close()


@contextlib.asynccontextmanager
async def simulated(data: TwoDays, **options: Any) -> AsyncIterator[str]:
    settings = ExchangeOptions(**({"source": "replay", "speed": None} | options))
    app = build_app(Exchange(open_source(settings, data), settings), settings, TOKEN)
    config = uvicorn.Config(app, port=0, ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def in_lockstep(body: Callable[[Market], Coroutine[Any, Any, None]], **options: Any) -> Market:
    async def run() -> Market:
        data = TwoDays()
        async with simulated(data, **options) as url:
            control = SimulatorControl(url, lambda: TOKEN)
            start_ns = (await control.clock()).start_ns
            await control.close()
            market = Market(url, data, start_ns)
            try:
                async with asyncio.timeout(120):
                    await body(market)
            finally:
                await market.close()
            return market

    return asyncio.run(run())


async def to_the_end(market: Market, step_ns: int = 20 * NS_PER_MINUTE) -> None:
    while not market.driver.finished:
        await market.driver.advance_to(market.clock.now_ns() + step_ns)


async def watch_all(market: Market) -> None:
    await market.feed.subscribe(market.keys)
    await to_the_end(market)


def test_every_row_of_the_market_arrives_once_and_unchanged() -> None:
    market = in_lockstep(watch_all)
    received, sent = join(market.batches), join(market.data.ticks)
    for column, expected in zip(received, sent, strict=True):
        np.testing.assert_array_equal(column, expected)
    assert (market.gaps, market.reasons) == ([None], ["the test is over"])
    assert market.normaliser.counters.implausible == 0


def test_a_feed_cut_again_and_again_reports_each_gap_and_repeats_no_tick() -> None:
    market = in_lockstep(watch_all, cut=12, seed=3)
    assert len(market.gaps) == 13
    assert market.gaps[0] is None
    gaps = [gap for gap in market.gaps if gap is not None]
    assert gaps == sorted(gaps)
    refused = [reason for reason in market.reasons if "authorize" in reason]
    assert refused  # a cut lasts a while, in which the feed knocks in vain
    assert len(market.reasons) - len(refused) == 13
    received = join(market.batches)
    assert received.ts.size < market.data.rows
    days = (received.ts // NS_PER_DAY).tolist()
    trades = list(zip(days, received.symbol.tolist(), received.volume.tolist(), strict=True))
    assert len(set(trades)) == len(trades)


def test_a_driven_market_with_cuts_is_the_same_every_time() -> None:
    first, second = (in_lockstep(watch_all, cut=5, seed=7) for _ in range(2))
    for column, expected in zip(join(first.batches), join(second.batches), strict=True):
        np.testing.assert_array_equal(column, expected)
    assert first.gaps == second.gaps


def test_the_size_of_the_steps_changes_nothing() -> None:
    async def in_one_step(market: Market) -> None:
        await market.feed.subscribe(market.keys)
        await to_the_end(market, step_ns=3 * NS_PER_DAY)

    fine, coarse = in_lockstep(watch_all, cut=5, seed=7), in_lockstep(in_one_step, cut=5, seed=7)
    for column, expected in zip(join(fine.batches), join(coarse.batches), strict=True):
        np.testing.assert_array_equal(column, expected)


def test_a_symbol_subscribed_later_starts_with_its_snapshot() -> None:
    async def body(market: Market) -> None:
        first, second = list(market.keys)[:2]
        await market.feed.subscribe([first])
        await market.driver.advance_to(ns_at(DAYS[0], time(10, 0)))
        before = len(market.batches)
        await market.feed.subscribe([second])
        await market.driver.advance_to(ns_at(DAYS[0], time(10, 0)) + 5 * NS_PER_SECOND)
        (snapshot,) = market.batches[before:]
        rows = market.data.ticks[0]
        of_it = (rows.symbol == market.keys[second]) & (rows.ts <= ns_at(DAYS[0], time(10, 0)))
        assert (snapshot.volume[0], snapshot.ltp[0]) == (rows.volume[of_it][-1], rows.ltp[of_it][-1])

    in_lockstep(body)


def test_a_pause_while_the_feed_is_prepared_lets_market_time_pass() -> None:
    async def body(market: Market) -> None:
        market.prepare = lambda: market.clock.sleep(90)
        await market.feed.subscribe(market.keys)
        start = market.clock.now_ns()
        await market.driver.advance_to(start + 60 * NS_PER_SECOND)
        assert market.clock.now_ns() == start + 90 * NS_PER_SECOND
        await market.driver.advance_to(start + 100 * NS_PER_SECOND)
        stamps = market.data.ticks[0].ts
        expected = stamps[(stamps > start) & (stamps <= start + 100 * NS_PER_SECOND)]
        snapshot, *live = market.batches
        assert snapshot.ts.tolist() == [start] * len(SYMBOLS)
        np.testing.assert_array_equal(join(live).ts, expected)

    in_lockstep(body, start=time(9, 15, 1))


def test_rest_calls_are_understood_by_the_exchange() -> None:
    async def body(market: Market) -> None:
        await market.feed.subscribe(market.keys)
        await market.driver.advance_to(ns_at(DAYS[1], time(9, 20)) + 30 * NS_PER_SECOND)
        instruments = await market.rest.instruments()
        assert {i.symbol: i.instrument_key for i in instruments} == {
            symbol: instrument_for(symbol).instrument_key for symbol in SYMBOLS
        }
        assert {i.symbol: i.cas_eligible for i in instruments}["NSE_EQ:TCS"] is True
        rows = market.data.ticks
        seen = rows[1].ts <= market.clock.now_ns()
        quotes = await market.rest.quotes([*instruments, instrument_for("NOTLISTED")])
        for number, quote in enumerate(quotes):
            of_it = seen & (rows[1].symbol == number)
            assert quote.symbol == SYMBOLS[number]
            assert (quote.ltp, quote.volume) == (rows[1].ltp[of_it][-1], rows[1].volume[of_it][-1])
            assert quote.previous_close == rows[0].ltp[rows[0].symbol == number][-1]
        history = await market.rest.history(instruments[0], date(2026, 4, 1), DAYS[1])
        assert len(history) == 375
        intraday = await market.rest.intraday(instruments[0])
        assert [c.ts for c in intraday] == [ns_at(DAYS[1], time(9, minute)) for minute in range(15, 21)]
        assert (await market.rest.market_status()).status == "NORMAL_OPEN"
        assert (await market.rest.profile()).is_active

    in_lockstep(body)


def test_the_simulators_clock_tells_what_it_plays() -> None:
    async def body(market: Market) -> None:
        shown = await market.control.clock()
        assert (shown.source, shown.depth, shown.speed) == ("replay", True, "max")
        assert shown.now_ns == market.clock.now_ns()

    in_lockstep(body)


def test_a_wrong_token_is_an_authentication_error_on_every_line() -> None:
    async def run() -> None:
        async with simulated(TwoDays()) as url:
            clock = LockstepClock(0)
            rest = UpstoxRest(url, lambda: "yesterdays", clock)
            control = SimulatorControl(url, lambda: "yesterdays")
            with pytest.raises(AuthenticationError):
                await rest.authorize_feed()
            with pytest.raises(BrokerError, match="refuses the token"):
                await control.clock()
            await rest.close()
            await control.close()

    asyncio.run(run())


def test_a_market_that_runs_by_itself_is_followed_by_a_scaled_clock() -> None:
    async def run() -> None:
        data = TwoDays()
        async with simulated(data, speed=3000.0) as url:
            market = Market(url, data, 0)
            control = market.control
            shown = await control.clock()
            clock = ScaledClock(shown.now_ns, 3000.0)
            feed = UpstoxFeed(market.rest, clock, market, lambda: False)
            await feed.subscribe(market.keys)
            task = asyncio.create_task(feed.run())
            try:
                async with asyncio.timeout(60):
                    while market.normaliser.counters.ticks < 500:
                        await clock.sleep(30)
                        clock.set((await control.clock()).now_ns)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await market.close()
        received = join(market.batches)
        assert (np.diff(received.ts) >= 0).all()
        assert clock.now_ns() >= received.ts[0]

    asyncio.run(run())


def test_a_lockstep_clock_that_nobody_drives_refuses_to_sleep() -> None:
    with pytest.raises(RuntimeError, match="drives"):
        asyncio.run(LockstepClock(0).sleep(1))
