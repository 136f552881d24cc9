"""Two ticks through the platform in plain Python; prints which of its files the second one ran, up to its posting.

Run with ``NUMBA_DISABLE_JIT=1`` and a folder for the ledger: the frames come over a real WebSocket, and the second
one fills the order that the first one brought about.
"""

import asyncio
import json
import sys
from datetime import date, time
from pathlib import Path
from types import FrameType
from typing import Any

import quant_platform
from quant_platform.adapters.broker.upstox_feed import UpstoxFeed
from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.arrow import ArrowTickStore
from quant_platform.domain.instruments import SymbolTable, instrument_for
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_MS, NS_PER_SECOND
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.market import MarketHost
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.broker import Candle
from quant_platform.ports.ledger_store import RunRequest
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.market_persistor.rows import stored_columns
from tests.integration.scripted_broker import FeedLine, scripted_broker

PACKAGE = Path(quant_platform.__file__).parent
STOCK = instrument_for("NSE_EQ:INFY")
OPENS = ns_at(date(2026, 7, 31), time(9, 15))


class Walk:
    """Which of our files run between a frame's receipt and the posting of its fill."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self.walked: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or PACKAGE not in path.parents:
            return
        place = path.relative_to(PACKAGE).as_posix()
        name = frame.f_code.co_name
        if (place, name) == ("adapters/broker/upstox_feed.py", "_handle"):
            self._files = set()
        self._files.add(place)
        if (place, name) == ("services/strategy_runtime/ledger.py", "post"):
            self.walked = sorted(self._files)


def rising_bars() -> list[Candle]:
    starts = [OPENS - (40 - minute) * NS_PER_MINUTE for minute in range(40)]
    return [Candle(ts, 100_000, 100_100, 99_900, 100_000 + 10 * n, 500) for n, ts in enumerate(starts)]


def frame(ts: int, volume: int) -> bytes:
    """A price above the day's average and more to buy than to sell."""
    made = wire.FeedResponse(type=wire.live_feed, currentTs=ts // NS_PER_MS)
    content = made.feeds[STOCK.instrument_key].fullFeed.marketFF
    content.ltpc.ltp, content.vtt, content.atp = 1010.0, volume, 1000.0
    for level in range(5):
        content.marketLevel.bidAskQuote.add(bidP=1009.0 - level, bidQ=300, askP=1011.0 + level, askQ=100)
    return made.SerializeToString()


async def two_frames(line: FeedLine) -> None:
    await line.take_request()
    for number in (1, 2):
        await line.socket.send_bytes(frame(OPENS + number * NS_PER_SECOND, 1000 * number))
    await line.until_closed()


def host_in(folder: Path, ledger: SqlLedger, rest: UpstoxRest, clock: LockstepClock) -> MarketHost:
    strategy, settings = load_strategy("momentum", {})
    table = SymbolTable()
    table.add(STOCK)
    balance = ledger.begin(RunRequest("walk", "paper", strategy.name, "walk", None, 20_000_00)).balance
    ticks = ArrowTickStore(folder, stored_columns)
    platform = EmbeddedPlatform(Blueprint(strategy, settings, True), table, ledger, balance, ticks)
    platform.on_bars(STOCK.symbol, "warm-up", rising_bars(), OPENS)
    return MarketHost(platform, rest, clock, [STOCK], depth=True, live=False, picks=5, save_scan=lambda ts, picks: None)


async def walk_through(folder: Path, ledger: SqlLedger) -> Walk:
    walk = Walk()
    async with scripted_broker() as broker:
        broker.scripts = [two_frames]
        clock = LockstepClock(OPENS)
        rest = UpstoxRest(broker.url, lambda: "token", clock)
        feed = UpstoxFeed(rest, clock, host_in(folder, ledger, rest, clock), lambda: False, keepalive_s=None)
        await feed.subscribe([STOCK.instrument_key])
        sys.setprofile(walk)
        try:
            await feed.connect_once()
            await feed.drained(2)
        finally:
            sys.setprofile(None)
            await feed.disconnect("walked")
            await rest.close()
    return walk


def main() -> None:
    folder = Path(sys.argv[1])
    with SqlLedger(folder / "ledger.sqlite") as ledger:
        walk = asyncio.run(walk_through(folder, ledger))
        executed = [order.state for order in ledger.orders()]
    print(json.dumps({"files": walk.walked, "orders": executed}))


if __name__ == "__main__":
    main()
