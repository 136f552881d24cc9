"""A simulated exchange in a thread of the test, a market of NumPy columns for it to replay, and a client."""

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, time, timedelta

import httpx
import numpy as np
import websockets

from quant_platform.domain.bars import ticks_to_bars
from quant_platform.domain.instruments import instrument_for
from quant_platform.domain.session import ist_date, ns_at
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    NS_PER_DAY,
    NS_PER_MINUTE,
    TickBatch,
    cut,
    empty_ticks,
    select,
    trading_day,
)
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_source import DayTicks
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.feed_requests import FULL, SUBSCRIBE, FeedRequest
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.server import ExchangeServer

TOKEN = "a-token-for-tests"
DAYS = (date(2026, 8, 17), date(2026, 8, 18))
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:RELIANCE", "NSE_EQ:SMALLCO", "NSE_EQ:TCS")
KEYS = tuple(instrument_for(symbol).instrument_key for symbol in SYMBOLS)
SECOND = 1_000_000_000


class ArrayTicks:
    """Ticks in memory behind the TickSource port."""

    def __init__(self, symbols: Sequence[str], ticks: TickBatch) -> None:
        order = np.lexsort((np.arange(ticks.ts.size), ticks.symbol, ticks.ts))
        self._ticks = select(ticks, order)
        self._days = np.array([trading_day(int(ts)) for ts in self._ticks.ts])
        self.symbols = symbols
        self.has_depth = bool(ticks.bid_price.shape[1])
        self.rows = ticks.ts.size

    def trading_days(self) -> list[date]:
        return [date(1970, 1, 1) + timedelta(days=int(day)) for day in np.unique(self._days)]

    def days(self) -> Iterator[DayTicks]:
        for number, day in zip(np.unique(self._days), self.trading_days(), strict=True):
            rows = np.flatnonzero(self._days == number)
            yield DayTicks(day, cut(self._ticks, int(rows[0]), int(rows[-1]) + 1), ())

    def history(self, symbol: str, before: date, bars: int) -> list[Candle]:
        opened = (self._ticks.ts + IST_OFFSET_NS) % NS_PER_DAY >= 555 * NS_PER_MINUTE
        wanted = opened & (self._ticks.symbol == self.symbols.index(symbol))
        candles = ticks_to_bars(select(self._ticks, wanted))
        rows = zip(*(column.tolist() for column in candles if column is not candles.symbol), strict=True)
        return [candle for candle in (Candle(*row) for row in rows) if ist_date(candle.ts) < before][-bars:]


def market(rows_per_day: int = 2000, days: Sequence[date] = DAYS, seed: int = 5) -> ArrayTicks:
    """Made-up rows of four stocks from 09:14 on: ties in time, rows without levels, one-sided books."""
    random = np.random.default_rng(seed)
    n = rows_per_day * len(days)
    ticks = empty_ticks(n, 5)
    for number, day in enumerate(days):
        rows = slice(number * rows_per_day, (number + 1) * rows_per_day)
        gaps = random.integers(0, 4, rows_per_day) * 250_000_000
        ticks.ts[rows] = ns_at(day, time(9, 14)) + np.cumsum(gaps)
    ticks.symbol[:] = random.integers(0, len(SYMBOLS), n)
    ticks.ltp[:] = 100_000 + np.cumsum(random.integers(-3, 4, n))
    ticks.volume[:] = np.tile(np.arange(1, rows_per_day + 1) * 7, len(days))
    ticks.atp[:] = ticks.ltp / 100
    ladder = np.arange(5) * 5
    ticks.bid_price[:] = ticks.ltp[:, None] - 5 - ladder
    ticks.ask_price[:] = ticks.ltp[:, None] + 5 + ladder
    ticks.bid_qty[:] = random.integers(1, 3_000, (n, 5))
    ticks.ask_qty[:] = random.integers(1, 3_000, (n, 5))
    for column in (ticks.bid_price, ticks.bid_qty, ticks.ask_price, ticks.ask_qty):
        column[::7] = 0
    ticks.bid_price[::11] = ticks.bid_qty[::11] = 0
    return ArrayTicks(SYMBOLS, ticks)


@contextlib.contextmanager
def running(options: ExchangeOptions, source: ArrayTicks | None = None) -> Iterator[ExchangeServer]:
    """An exchange that serves from a thread until the block ends."""
    server = ExchangeServer(options, source)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.005)
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def lockstep(**changes: object) -> ExchangeOptions:
    """A replay whose clock is driven by the test."""
    return ExchangeOptions(**{"source": "replay", "speed": None, "token": TOKEN} | changes)


class Client:
    """A platform in small: drives the clock, reads the feed."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.socket: websockets.ClientConnection | None = None
        self.requests = 0

    async def get(self, path: str, **parameters: str) -> object:
        reply = await self.http.get(path, params=parameters)
        reply.raise_for_status()
        return reply.json()["data"]

    async def clock(self) -> dict[str, object]:
        return (await self.http.get("/simulator/clock")).raise_for_status().json()

    async def connect(self) -> None:
        url = (await self.get("/v3/feed/market-data-feed/authorize"))["authorizedRedirectUri"]
        self.socket = await websockets.connect(url, compression=None, max_size=None, max_queue=None)
        self.requests = 0

    async def ask(self, method: str, keys: Sequence[str], mode: str = FULL) -> None:
        await self.socket.send(FeedRequest("guid", method, tuple(keys), mode).encode())
        self.requests += 1

    async def subscribe(self, keys: Sequence[str] = KEYS, mode: str = FULL) -> None:
        await self.ask(SUBSCRIBE, keys, mode)

    async def advance(self, to_ns: int) -> dict[str, object]:
        body = {"to_ns": to_ns, "requests": self.requests}
        return (await self.http.post("/simulator/advance", json=body)).raise_for_status().json()

    async def frame(self) -> wire.FeedResponse:
        return wire.FeedResponse.FromString(await self.socket.recv())

    async def frames(self, count: int) -> list[bytes]:
        return [await self.socket.recv() for _ in range(count)]


@contextlib.asynccontextmanager
async def client(server: ExchangeServer) -> AsyncIterator[Client]:
    """A client that shows the right token."""
    headers = {"Authorization": f"Bearer {server.ready['token']}"}
    async with httpx.AsyncClient(base_url=str(server.ready["url"]), headers=headers, timeout=60) as http:
        made = Client(http)
        try:
            yield made
        finally:
            if made.socket is not None:
                await made.socket.close()
