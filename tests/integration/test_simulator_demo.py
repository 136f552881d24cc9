"""The made-up market: seeded, continuous from day to day, and believable."""

import asyncio
from datetime import date, time

import numpy as np
import pytest

from quant_platform.domain.errors import CalendarError, UsageError
from quant_platform.domain.instruments import tick_size_on
from quant_platform.domain.session import ns_at, previous_session, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.simulator.demo import DemoSource
from quant_platform.simulator.market_day import MarketDay
from quant_platform.simulator.options import ExchangeOptions

from .exchange_rig import SECOND, TOKEN, client, running

DAY = date(2026, 11, 20)
OPEN, CLOSE = session_on(DAY).windows(cas_eligible=True)[0]


@pytest.fixture(scope="module")
def source() -> DemoSource:
    return DemoSource(seed=7, day=DAY)


@pytest.fixture(scope="module")
def market(source: DemoSource) -> MarketDay:
    return next(source.days())


@pytest.fixture(scope="module")
def minute_returns(market: MarketDay) -> np.ndarray:
    """Log returns from minute to minute of continuous trading, one line a stock."""
    grid = np.arange(OPEN + NS_PER_MINUTE, CLOSE, NS_PER_MINUTE)
    lines = []
    for number in range(100):
        rows = market.rows_of(number)
        at = np.searchsorted(market.ticks.ts[rows], grid, side="right") - 1
        lines.append(np.diff(np.log(market.ticks.ltp[rows[at]])))
    return np.array(lines)


def _trading_rows(market: MarketDay, number: int) -> np.ndarray:
    rows = market.rows_of(number)
    ts = market.ticks.ts[rows]
    return rows[(ts >= OPEN) & (ts < CLOSE)]


def test_same_seed_and_date_give_the_same_market_and_another_seed_another(
    source: DemoSource, market: MarketDay
) -> None:
    again = DemoSource(seed=7, day=DAY)._stock(42).ticks
    other = DemoSource(seed=8, day=DAY)._stock(42).ticks
    rows = market.rows_of(42)
    for column in ("ts", "ltp", "volume", "atp", "bid_price", "bid_qty", "ask_price", "ask_qty"):
        assert np.array_equal(getattr(market.ticks, column)[rows], getattr(again, column))
    assert not np.array_equal(again.ltp[:500], other.ltp[:500])


def test_every_price_is_on_the_tick_grid(source: DemoSource, market: MarketDay) -> None:
    for number, instrument in enumerate(source.instruments):
        tick = tick_size_on(DAY, instrument.reference_price)
        rows = market.rows_of(number)
        for column in (market.ticks.ltp, market.ticks.bid_price, market.ticks.ask_price):
            assert not (column[rows] % tick).any()
            assert (column[rows] > 0).all()


def test_depth_stands_around_the_price_with_a_spread_of_one_to_three_ticks(market: MarketDay) -> None:
    for number in range(0, 100, 7):
        rows = _trading_rows(market, number)
        bids, asks = market.ticks.bid_price[rows], market.ticks.ask_price[rows]
        tick = int(bids[0, 0] - bids[0, 1])
        assert set(np.unique((asks[:, 0] - bids[:, 0]) // tick)) == {1, 2, 3}
        assert (np.diff(bids, axis=1) < 0).all()
        assert (np.diff(asks, axis=1) > 0).all()
        assert (market.ticks.bid_qty[rows] >= 1).all()


def test_days_are_joined_previous_close_history_and_ticks_agree(source: DemoSource, market: MarketDay) -> None:
    before = previous_session(DAY)
    for number in (0, 55):
        candles = source.history(number, before, before)
        assert len(candles) == 375
        assert candles[0].ts == ns_at(before, time(9, 15))
        assert candles[-1].close == market.previous_close[number]
        day = DemoSource(seed=7, day=before)._stock(number).ticks
        assert day.ltp[-1] == market.previous_close[number]
        assert sum(candle.volume for candle in candles) == day.volume[-1] - day.volume[day.ts < candles[0].ts][-1]


def test_candles_are_those_of_the_ticks(source: DemoSource, market: MarketDay) -> None:
    rows = _trading_rows(market, 3)
    candles = {candle.ts: candle for candle in source.intraday(market, 3, market.ticks.ts.size)}
    minutes = market.ticks.ts[rows] // NS_PER_MINUTE * NS_PER_MINUTE
    for minute in np.unique(minutes)[::13]:
        prices = market.ticks.ltp[rows[minutes == minute]]
        candle = candles[int(minute)]
        assert candle[1:5] == (prices[0], prices.max(), prices.min(), prices[-1])


def test_a_closing_auction_day_looks_like_one(source: DemoSource, market: MarketDay) -> None:
    candles = source.intraday(market, 3, market.ticks.ts.size)
    quiet = [candle for candle in candles if CLOSE <= candle.ts < ns_at(DAY, time(15, 29))]
    assert len(quiet) == 14
    assert {candle.volume for candle in quiet} == {0}
    assert candles[-1].ts == ns_at(DAY, time(15, 29))
    assert candles[-1].volume > max(candle.volume for candle in candles[60:-1])
    rows = market.rows_of(3)
    auction = rows[market.ticks.ts[rows] >= ns_at(DAY, time(15, 20))]
    assert (market.indicative[auction[:-1]] > 0).all()
    assert market.indicative[auction[-1]] == 0


def test_the_pre_open_indicates_and_then_prints(market: MarketDay) -> None:
    for number in range(0, 100, 9):
        rows = market.rows_of(number)
        before = rows[market.ticks.ts[rows] < OPEN]
        assert (market.ticks.volume[before[:-1]] == 0).all()
        assert (market.ticks.ltp[before[:-1]] == market.previous_close[number]).all()
        assert market.ticks.volume[before[-1]] > 0
        assert ns_at(DAY, time(9, 10)) <= market.ticks.ts[before[-1]] < ns_at(DAY, time(9, 12))
        assert market.ticks.ts[_trading_rows(market, number)[0]] == OPEN


def test_most_stocks_open_with_a_gap(market: MarketDay) -> None:
    opens = np.array([market.ticks.ltp[_trading_rows(market, number)[0]] for number in range(100)])
    gaps = np.abs(opens / market.previous_close - 1)
    assert np.median(gaps) > 0.001
    assert gaps.max() < 0.06


def test_average_price_is_that_of_the_trades(market: MarketDay) -> None:
    rows = market.rows_of(60)
    shares = np.diff(market.ticks.volume[rows], prepend=0)
    assert (shares >= 0).all()
    value = np.cumsum(shares * market.ticks.ltp[rows].astype(np.int64))
    traded = market.ticks.volume[rows] > 0
    average = value[traded] / market.ticks.volume[rows][traded] / 100
    assert np.abs(average - market.ticks.atp[rows][traded]).max() < 0.006


def test_volume_smiles_over_the_day(market: MarketDay) -> None:
    shares = np.zeros(360)
    for number in range(100):
        rows = _trading_rows(market, number)
        minutes = (market.ticks.ts[rows] - OPEN) // NS_PER_MINUTE
        traded = np.diff(market.ticks.volume[rows], prepend=market.ticks.volume[rows[0]])
        shares += np.bincount(minutes, traded, minlength=360) / market.ticks.volume[rows[-1]]
    assert shares[:15].mean() > 2 * shares[165:195].mean()
    assert shares[-15:].mean() > 1.4 * shares[165:195].mean()


def test_sectors_move_together_more_than_the_market(source: DemoSource, minute_returns: np.ndarray) -> None:
    correlation = np.corrcoef(minute_returns)
    industries = np.array([instrument.industry for instrument in source.instruments])
    same = np.equal.outer(industries, industries)
    others = correlation[~same].mean()
    np.fill_diagonal(same, False)
    assert others > 0.1
    assert correlation[same].mean() > others + 0.1


def test_volatility_comes_in_clusters_and_returns_do_not_repeat(minute_returns: np.ndarray) -> None:
    def lagged(values: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(line[1:], line[:-1])[0, 1] for line in values]))

    assert lagged(np.abs(minute_returns)) > 0.08
    assert abs(lagged(minute_returns)) < 0.08


def test_the_book_leans_the_way_the_price_went(market: MarketDay) -> None:
    leans = []
    for number in range(0, 100, 5):
        rows = _trading_rows(market, number)
        bids, asks = market.ticks.bid_qty[rows].sum(axis=1), market.ticks.ask_qty[rows].sum(axis=1)
        earlier = np.searchsorted(market.ticks.ts[rows], market.ticks.ts[rows] - 20 * SECOND)
        moved = np.log(market.ticks.ltp[rows] / market.ticks.ltp[rows[earlier]])
        leans.append(np.corrcoef((bids - asks) / (bids + asks), moved)[0, 1])
    assert np.mean(leans) > 0.3


def test_the_exchange_serves_the_demo_day_through_the_protocol(source: DemoSource, market: MarketDay) -> None:
    key = source.instruments[3].instrument_key
    at = ns_at(DAY, time(9, 16))

    async def scenario(server: object) -> tuple[dict[str, object], list[wire.FeedResponse], object]:
        async with client(server) as user:
            await user.connect()
            await user.subscribe([key])
            state = await user.advance(at)
            frames = [wire.FeedResponse.FromString(frame) for frame in await user.frames(int(state["frames"]))]
            every = ",".join(instrument.instrument_key for instrument in source.instruments)
            return await user.clock(), frames, await user.get("/v2/market-quote/quotes", instrument_key=every)

    with running(ExchangeOptions(seed=7, day=DAY, speed=None, token=TOKEN)) as server:
        clock, frames, quotes = asyncio.run(scenario(server))
    assert clock["start_ns"] == ns_at(DAY, time(9, 0))
    assert clock["end_ns"] == ns_at(DAY, time(15, 30))
    rows = market.rows_of(3)
    seen = rows[market.ticks.ts[rows] <= at]
    assert len(frames) == 2 + seen.size
    assert frames[2].feeds[key].fullFeed.marketFF.iep > 0
    assert frames[-1].feeds[key].fullFeed.marketFF.vtt == market.ticks.volume[seen[-1]]
    moved = [abs(quote["net_change"]) * quote["volume"] for quote in quotes.values()]
    assert sum(score > 0 for score in moved) >= 5


@pytest.mark.parametrize("day", [date(2026, 12, 25), date(2026, 11, 22)])
def test_a_day_without_trading_is_refused(day: date) -> None:
    with pytest.raises(CalendarError, match="closed"):
        DemoSource(seed=1, day=day)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="-1 is negative"):
        DemoSource(seed=-1, day=DAY)
