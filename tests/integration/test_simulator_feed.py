"""The simulated exchange's feed: who may connect, what comes when, what a frame holds, and the driven clock."""

import asyncio
import queue
from collections.abc import Iterator
from datetime import date, time
from typing import Any

import numpy as np
import pytest
import upstox_client
import websocket
import websockets

from quant_platform.domain.errors import DataError
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MS
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.feed_requests import CHANGE_MODE, SUBSCRIBE, UNSUBSCRIBE, FeedRequest
from quant_platform.simulator import exchange
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.replay import ReplaySource
from quant_platform.simulator.server import ExchangeServer

from .exchange_rig import DAYS, KEYS, SECOND, SYMBOLS, TOKEN, Client, client, lockstep, market, running

FAR = ns_at(date(2026, 8, 19), time(0, 0))


@pytest.fixture(scope="module")
def idle() -> Iterator[ExchangeServer]:
    """An exchange whose clock nobody moves."""
    with running(lockstep(), market()) as server:
        yield server


def test_first_frame_is_market_info(idle: ExchangeServer) -> None:
    async def scenario() -> wire.FeedResponse:
        async with client(idle) as user:
            await user.connect()
            return await user.frame()

    frame = asyncio.run(scenario())
    assert frame.type == wire.market_info
    assert frame.marketInfo.segmentStatus["NSE_EQ"] == wire.PRE_OPEN_START
    assert frame.currentTs * NS_PER_MS == ns_at(DAYS[0], time(9, 0))


def test_a_code_opens_one_feed_only(idle: ExchangeServer) -> None:
    async def scenario() -> int:
        async with client(idle) as user:
            url = (await user.get("/v2/feed/market-data-feed/authorize"))["authorized_redirect_uri"]
            async with websockets.connect(url) as socket:
                await socket.recv()
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(url)
            return refused.value.response.status_code

    assert asyncio.run(scenario()) == 401


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_feed_paths_take_the_token_and_refuse_another_with_the_reason(idle: ExchangeServer, version: str) -> None:
    url = f"{idle.ready['url']}/{version}/feed/market-data-feed".replace("http", "ws")

    async def scenario() -> websockets.Response:
        async with websockets.connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket:
            assert wire.FeedResponse.FromString(await socket.recv()).type == wire.market_info
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, additional_headers={"Authorization": "Bearer stale"})
        return refused.value.response

    response = asyncio.run(scenario())
    assert (response.status_code, response.reason_phrase) == (401, "Unauthorized")


def test_the_brokers_own_streamer_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: queue.Queue[dict[str, Any]] = queue.Queue()
    dialled = websocket.WebSocketApp

    with running(lockstep(), market()) as server:
        # The SDK has the broker's address built in; only where it dials is changed.
        here = str(server.ready["url"]).replace("http", "ws")
        monkeypatch.setattr(
            websocket,
            "WebSocketApp",
            lambda url, **handlers: dialled(url.replace("wss://api.upstox.com", here), **handlers),
        )
        configuration = upstox_client.Configuration()
        configuration.access_token = TOKEN
        streamer = upstox_client.MarketDataStreamerV3(upstox_client.ApiClient(configuration), list(KEYS), "full")
        streamer.auto_reconnect(False)
        streamer.on("message", frames.put)
        streamer.connect()
        assert "segmentStatus" in frames.get(timeout=30)["marketInfo"]
        assert "feeds" not in frames.get(timeout=30)  # nothing has traded yet

        async def move() -> None:
            async with client(server) as user:
                await user.advance(ns_at(DAYS[0], time(9, 15)))

        asyncio.run(move())
        live = frames.get(timeout=30)
        streamer.disconnect()
    assert live["type"] == "live_feed"
    (key, feed), *_ = live["feeds"].items()
    assert key in KEYS
    assert feed["requestMode"] == "full_d5"
    assert int(feed["fullFeed"]["marketFF"]["vtt"]) > 0


def test_a_subscription_before_any_tick_is_answered_by_an_empty_snapshot(idle: ExchangeServer) -> None:
    async def scenario() -> wire.FeedResponse:
        async with client(idle) as user:
            await user.connect()
            await user.frame()
            await user.subscribe()
            return await user.frame()

    frame = asyncio.run(scenario())
    assert frame.type == wire.initial_feed
    assert not frame.feeds


def test_a_request_that_is_none_is_answered_in_text(idle: ExchangeServer) -> None:
    async def scenario() -> str | bytes:
        async with client(idle) as user:
            await user.connect()
            await user.frame()
            await user.socket.send("subscribe, please")
            return await user.socket.recv()

    assert '"failed"' in asyncio.run(scenario())


async def _whole_run(user: Client, steps: int) -> tuple[list[bytes], dict[str, object]]:
    """Everything a subscriber of all symbols receives, when the clock is moved in so many steps."""
    await user.connect()
    await user.subscribe()
    clock = await user.clock()
    for moment in np.linspace(int(clock["start_ns"]), FAR, steps + 1)[1:]:
        state = await user.advance(int(moment))
    return await user.frames(int(state["frames"])), state


def _run_once(steps: int, **changes: object) -> tuple[list[bytes], dict[str, object]]:
    async def scenario(server: ExchangeServer) -> tuple[list[bytes], dict[str, object]]:
        async with client(server) as user:
            return await _whole_run(user, steps)

    with running(lockstep(**changes), market()) as server:
        return asyncio.run(scenario(server))


def test_lockstep_sends_the_same_frames_however_the_clock_is_moved() -> None:
    frames, state = _run_once(steps=1)
    assert state["finished"]
    assert state["connected"]
    assert frames == _run_once(steps=97)[0]


def test_frames_carry_every_row_of_the_replayed_market() -> None:
    frames, _ = _run_once(steps=5)
    source = market()
    rows = [(day, row) for day in source.days() for row in range(day.ticks.ts.size)]
    position = 0
    before = -1
    closes: dict[int, int] = {}
    last: dict[int, int] = {}
    current = rows[0][0].day
    for payload in frames[2:]:
        frame = wire.FeedResponse.FromString(payload)
        assert frame.type == wire.live_feed
        assert frame.currentTs >= before
        before = frame.currentTs
        # A map has no order: the client sorts by symbol.
        for key in sorted(frame.feeds, key=lambda key: SYMBOLS[KEYS.index(key)]):
            day, row = rows[position]
            position += 1
            if day.day != current:
                closes, current = dict(last), day.day
            ticks, number = day.ticks, KEYS.index(key)
            feed = frame.feeds[key]
            full = feed.fullFeed.marketFF
            assert feed.requestMode == wire.full_d5
            assert (frame.currentTs * NS_PER_MS, number) == (ticks.ts[row], ticks.symbol[row])
            assert round(full.ltpc.ltp * 100) == ticks.ltp[row]
            assert round(full.ltpc.cp * 100) == closes.get(number, 0)
            assert (full.ltpc.ltt, full.vtt) == (frame.currentTs, ticks.volume[row])
            assert full.atp == ticks.atp[row]
            assert full.casEligible == (SYMBOLS[number] != "NSE_EQ:SMALLCO")
            levels = [
                (round(level.bidP * 100), level.bidQ, round(level.askP * 100), level.askQ)
                for level in full.marketLevel.bidAskQuote
            ]
            columns = (ticks.bid_price, ticks.bid_qty, ticks.ask_price, ticks.ask_qty)
            expected = list(zip(*(column[row].tolist() for column in columns), strict=True))
            assert levels == (expected if ticks.ask_qty[row].any() else [])
            candles = {candle.interval: candle for candle in full.marketOHLC.ohlc}
            assert candles["1d"].vol == ticks.volume[row]
            assert candles["1d"].low <= full.ltpc.ltp <= candles["1d"].high
            if "I1" in candles:
                assert candles["I1"].ts <= frame.currentTs // 60_000 * 60_000 - 60_000
            last[number] = int(ticks.ltp[row])
    assert position == len(rows)


def test_a_frame_ends_where_time_moves_or_a_symbol_does_not_rise() -> None:
    source = market()
    day = next(source.days()).ticks
    frames, _ = _run_once(steps=1, day=DAYS[0])
    breaks = (day.ts[1:] != day.ts[:-1]) | (day.symbol[1:] <= day.symbol[:-1])
    assert len(frames) - 2 == breaks.sum() + 1


def test_modes_fill_what_they_promise_and_changes_take_effect_at_once() -> None:
    at = ns_at(DAYS[0], time(9, 20))

    async def scenario(server: ExchangeServer) -> list[wire.FeedResponse]:
        async with client(server) as user:
            await user.connect()
            await user.subscribe(KEYS[:1], "ltpc")
            await user.subscribe(KEYS[1:2], "option_greeks")
            await user.advance(at)
            await user.ask(CHANGE_MODE, KEYS[:1], "full")
            await user.ask(UNSUBSCRIBE, KEYS[1:2])
            state = await user.advance(at + 60 * SECOND)
            return [wire.FeedResponse.FromString(frame) for frame in await user.frames(int(state["frames"]))]

    with running(lockstep(), market()) as server:
        frames = asyncio.run(scenario(server))
    switch = next(i for i, frame in enumerate(frames) if frame.type == wire.initial_feed and i > 2)
    before = [feed for frame in frames[3:switch] for feed in frame.feeds.items()]
    assert {feed.WhichOneof("FeedUnion") for key, feed in before if key == KEYS[0]} == {"ltpc"}
    greeks = [feed.firstLevelWithGreeks for key, feed in before if key == KEYS[1]]
    assert all(each.vtt > 0 and each.ltpc.ltp > 0 for each in greeks)
    assert any(each.firstDepth.askQ > 0 for each in greeks)
    assert frames[switch].feeds[KEYS[0]].fullFeed.marketFF.marketLevel.bidAskQuote
    after = [feed for frame in frames[switch + 1 :] for feed in frame.feeds.items()]
    assert {(key, feed.requestMode) for key, feed in after} == {(KEYS[0], wire.full_d5)}


def test_a_snapshot_shows_the_state_with_the_depth_that_still_stands() -> None:
    source = market()
    ticks = next(source.days()).ticks
    at = int(ticks.ts[1000])

    async def scenario(server: ExchangeServer) -> wire.FeedResponse:
        async with client(server) as user:
            await user.advance(at)
            await user.connect()
            await user.frame()
            await user.subscribe()
            return await user.frame()

    with running(lockstep(), source) as server:
        snapshot = asyncio.run(scenario(server))
    stop = int(np.searchsorted(ticks.ts, at, side="right"))
    for number, key in enumerate(KEYS):
        rows = np.flatnonzero(ticks.symbol[:stop] == number)
        with_levels = rows[(ticks.ask_qty[rows] > 0).any(axis=1)]
        full = snapshot.feeds[key].fullFeed.marketFF
        assert full.vtt == ticks.volume[rows[-1]]
        assert full.marketLevel.bidAskQuote[0].askQ == ticks.ask_qty[with_levels[-1], 0]


@pytest.mark.parametrize("cuts", [1, 12])
def test_cuts_stop_the_clock_refuse_connections_and_lose_no_sent_frame(cuts: int) -> None:
    async def scenario(server: ExchangeServer) -> tuple[int, int]:
        async with client(server) as user:
            clock = await user.clock()
            seen = outage_seconds = 0
            await user.connect()
            await user.subscribe()
            while True:
                state = await user.advance(int(clock["end_ns"]))
                if state["connected"]:
                    return seen, outage_seconds
                seen += 1
                received = await user.frames(int(state["frames"]))
                assert wire.FeedResponse.FromString(received[-1]).currentTs * NS_PER_MS < state["now_ns"]
                with pytest.raises(websockets.ConnectionClosedError):
                    await user.socket.recv()
                now = int(state["now_ns"])
                while (await user.http.get("/v3/feed/market-data-feed/authorize")).status_code == 503:
                    now += 5 * SECOND
                    outage_seconds += 5
                    assert (await user.advance(now))["now_ns"] == now
                await user.connect()
                await user.subscribe()

    with running(lockstep(cut=cuts, seed=3, day=DAYS[0]), market()) as server:
        seen, outage_seconds = asyncio.run(scenario(server))
    assert seen == cuts
    assert cuts * 5 <= outage_seconds <= cuts * 125


def test_a_run_that_starts_later_sends_nothing_from_before_and_knows_the_state() -> None:
    source = market()
    days = list(source.days())
    at = int(days[1].ticks.ts[700])

    async def scenario(server: ExchangeServer) -> tuple[dict[str, object], list[wire.FeedResponse]]:
        async with client(server) as user:
            await user.connect()
            await user.subscribe()
            state = await user.advance(at + 5 * SECOND)
            frames = await user.frames(int(state["frames"]))
            return await user.clock(), [wire.FeedResponse.FromString(frame) for frame in frames]

    with running(lockstep(seek_ns=at), source) as server:
        clock, frames = asyncio.run(scenario(server))
    assert clock["start_ns"] == at
    stop = int(np.searchsorted(days[1].ticks.ts, at, side="right"))
    rows = np.flatnonzero(days[1].ticks.symbol[:stop] == 0)
    assert frames[1].feeds[KEYS[0]].fullFeed.marketFF.vtt == days[1].ticks.volume[rows[-1]]
    assert all(frame.currentTs * NS_PER_MS > at for frame in frames[2:])
    assert len(frames) > 4


def test_a_free_running_clock_skips_the_night_and_comes_to_the_end() -> None:
    async def scenario(server: ExchangeServer) -> tuple[list[int], list[wire.FeedResponse]]:
        async with client(server) as user:
            await user.connect()
            await user.subscribe(KEYS[:1])
            frames = [await user.frame()]
            last = int(list(market(400).days())[1].ticks.ts[-1])
            while frames[-1].currentTs * NS_PER_MS < last - 60 * SECOND:
                frames.append(await user.frame())
            return [frame.currentTs for frame in frames if frame.type == wire.live_feed], frames

    options = ExchangeOptions(source="replay", speed=20_000.0, token=TOKEN)
    with running(options, market(400)) as server:
        stamps, _ = asyncio.run(scenario(server))
    assert stamps == sorted(stamps)
    assert {np.datetime64(stamp, "ms").astype("datetime64[D]").astype(date) for stamp in stamps} == set(DAYS)


def test_a_stamp_finer_than_a_millisecond_is_refused_by_name() -> None:
    source = market(50)
    source._ticks.ts[10] += 1
    with pytest.raises(DataError, match=r"the row of NSE_EQ:\w+ at 2026-08-17T09:14:.* finer than a millisecond"):
        ReplaySource(source)


def test_a_replay_of_a_date_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no ticks on 2026-08-19"):
        ReplaySource(market(50), date(2026, 8, 19))


def test_a_feed_that_nobody_reads_does_not_hold_up_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "STALLED_S", 0.2)

    async def scenario(server: ExchangeServer) -> dict[str, object]:
        async with client(server) as user:
            url = (await user.get("/v3/feed/market-data-feed/authorize"))["authorizedRedirectUri"]
            idler = await websockets.connect(url, max_queue=1, close_timeout=0.1)
            await idler.send(FeedRequest("g", SUBSCRIBE, KEYS, "full").encode())
            await user.connect()
            await user.subscribe()
            state = await user.advance(FAR)
            await user.frames(int(state["frames"]))
            idler.transport.abort()
            return state

    with running(lockstep(day=DAYS[0]), market(40_000)) as server:
        assert asyncio.run(scenario(server))["finished"]


def test_a_third_feed_ends_the_first(idle: ExchangeServer) -> None:
    async def scenario() -> None:
        async with client(idle) as first, client(idle) as second, client(idle) as third:
            for user in (first, second, third):
                await user.connect()
                await user.frame()
            with pytest.raises(websockets.ConnectionClosedError):
                await first.socket.recv()

    asyncio.run(scenario())
