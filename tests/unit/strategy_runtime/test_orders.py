"""From a wish to a fill: latency, depth, refusals and the reasons that a person reads."""

from datetime import date

import numpy as np
import pytest

from quant_platform.domain.errors import StrategyError
from quant_platform.domain.ticks import NS_PER_MINUTE, EnrichedBatch, TickBatch
from quant_platform.services.strategy_runtime.runtime import STRETCH
from quant_platform.services.strategy_runtime.strategies.momentum import Momentum
from quant_platform.services.strategy_runtime.strategy import Features

from .rig import Rig, Scripted, T, Trade

BOOK_100 = {"bids": [(9_995, 50)], "asks": [(10_005, 50)]}

LATENCIES = [
    # what, latency in ms, later ticks, the one that fills (None: none does)
    ("a tick too early, then one in time", 200, ["10:00:00.199", "10:00:00.200", "10:00:01"], "10:00:00.200"),
    ("no tick at the time: the first after it", 200, ["10:00:00.100", "10:00:07"], "10:00:07"),
    ("ticks that all come too early", 200, ["10:00:00", "10:00:00.100"], None),
    ("no latency: the next tick, even of the same stamp", 0, ["10:00:00", "10:00:01"], "10:00:00"),
    ("no latency, and no other tick", 0, [], None),
    ("an hour of latency", 3_600_000, ["10:59:59.999", "11:00:00"], "11:00:00"),
]


@pytest.mark.parametrize(("what", "latency", "later", "filled"), LATENCIES)
def test_an_order_fills_on_the_first_tick_after_its_latency(
    what: str, latency: int, later: list[str], filled: str | None
) -> None:
    rig = Rig(latency_ms=latency)
    rig.play(T("10:00:00", 10_000, "buy"))
    for at in later:
        rig.play(T(at, 10_000))
    assert [trade.at for trade in rig.trades] == ([filled] if filled else []), what


def test_no_latency_still_fills_on_a_later_tick_than_the_deciding_one() -> None:
    rig = Rig(latency_ms=0).play(T("10:00:00", 10_000, "buy"), T("10:00:00", 10_050))
    assert rig.trades == [Trade("10:00:00", "BUY", "A", 20, 20 * 10_050)]


def test_another_symbols_tick_fills_nothing() -> None:
    rig = Rig(symbols={"A": False, "B": False})
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:05", 10_000, symbol="B"))
    assert rig.trades == []


def test_a_tick_out_of_session_fills_nothing_and_is_no_last_price() -> None:
    rig = Rig()
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:05", 77_000, "buy", in_session=False))
    assert rig.trades == []
    assert rig.runtime.last_price("NSE_EQ:A") == 10_000


def test_a_sell_may_be_decided_on_the_tick_that_filled_the_buy() -> None:
    rig = Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000, "sell"), T("10:00:02", 10_100))
    assert [trade.at for trade in rig.trades] == ["10:00:01", "10:00:02"]
    assert [at for at, *_ in rig.orders] == ["10:00:00", "10:00:01"]


def test_one_order_of_a_symbol_pends_at_a_time() -> None:
    rig = Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:00.100", 10_000, "buy"), T("10:00:01", 10_000, "buy"))
    rig.play(T("10:00:02", 10_000, "sell"), T("10:00:02.100", 10_000, "sell"))
    assert [at for at, *_ in rig.orders] == ["10:00:00", "10:00:02"]


def test_slippage_moves_fills_without_depth() -> None:
    rig = Rig(slippage_bps=10)
    rig.play(T("10:00:00", 10_001, "buy"), T("10:00:01", 10_001, "sell"), T("10:00:02", 10_001))
    assert [trade.value for trade in rig.trades] == [19 * 10_012, 19 * 9_990]


WAITING = [
    # what, ticks after the deciding one, value of the fill
    ("the standing depth of before", [T("10:00:01", 10_000)], 20 * 10_005),
    ("this tick's own depth", [T("10:00:01", 10_000, asks=[(10_010, 50)])], 20 * 10_010),
    ("an empty side waits", [T("10:00:01", 10_000, bids=[(9_990, 5)]), T("10:00:02", 10_000)], None),
    (
        "an empty side waits for the next depth",
        [T("10:00:01", 10_000, bids=[(9_990, 5)]), T("10:00:02", 10_000, asks=[(10_020, 5), (10_030, 1)])],
        5 * 10_020 + 15 * 10_030,
    ),
]


@pytest.mark.parametrize(("what", "later", "value"), WAITING)
@pytest.mark.parametrize("singly", [False, True])
def test_a_buy_in_data_with_depth(what: str, later: list[T], value: int | None, singly: bool) -> None:
    rig = Rig(depth=True, slippage_bps=50)
    ticks = [T("10:00:00", 10_000, "buy", **BOOK_100), *later]
    for piece in [[tick] for tick in ticks] if singly else [ticks]:
        rig.play(*piece)
    assert [trade.value for trade in rig.trades] == ([] if value is None else [value]), what


@pytest.mark.parametrize("singly", [False, True])
def test_before_the_sessions_first_depth_orders_wait(singly: bool) -> None:
    ticks = [
        T("10:00:00", 10_000, **BOOK_100, day=date(2025, 3, 7)),
        T("10:00:00", 10_000, "buy"),
        T("10:00:01", 10_000),
    ]
    rig = Rig(depth=True)
    for piece in [[tick] for tick in ticks] if singly else [ticks]:
        rig.play(*piece)
    assert rig.trades == []
    rig.play(T("10:00:02", 10_000, bids=[(9_995, 50)], asks=[(10_010, 50)]))
    assert rig.trades == [Trade("10:00:02", "BUY", "A", 20, 20 * 10_010)]


def test_an_entry_that_outgrew_the_cash_is_refused_at_its_fill() -> None:
    rig = Rig(position_size_bps=9_900, max_positions=1)
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_150))
    assert rig.trades == []
    assert rig.ends == [("10:00:01", "refused_at_fill")]
    assert rig.runtime.journal.story.ends[0].refusal == "insufficient_cash"
    assert rig.runtime.refusals == {"insufficient_cash": 1}
    rig.play(T("10:00:02", 10_000, "buy"), T("10:00:03", 10_000))  # its place and its cash are free again
    assert rig.trades == [Trade("10:00:03", "BUY", "A", 198, 198 * 10_000)]


def test_an_entry_may_not_use_what_another_holds() -> None:
    rig = Rig(position_size_bps=4_900, symbols={"A": False, "B": False}, latency_ms=1000)
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:00.500", 10_000, "buy", "B"))
    rig.play(T("10:00:01", 10_400))  # fits the account, but not beside what B holds
    assert rig.ends == [("10:00:01", "refused_at_fill")]


def test_one_refusal_is_logged_a_symbol_reason_and_minute() -> None:
    rig = Rig(symbols={"A": False, "B": False})
    dear = 9_999_900
    rig.play(T("10:00:00", dear, "buy"), T("10:00:01", dear, "buy"), T("10:00:02", dear, "buy", "B"))
    rig.play(T("10:00:59.999", dear, "buy"), T("10:01:00", dear, "buy"))
    assert rig.runtime.refusals == {"price_above_budget": 5}
    logged = [(row.symbol, row.ts % 60_000_000_000 // 10**9) for row in rig.runtime.journal.story.refusals]
    assert logged == [("NSE_EQ:A", 0), ("NSE_EQ:B", 2), ("NSE_EQ:A", 0)]
    assert rig.orders == []


def test_every_tick_of_a_long_batch_may_be_refused() -> None:
    names = [f"S{n:03d}" for n in range(300)]
    minutes = STRETCH // len(names) + 2
    rig = Rig(symbols=dict.fromkeys(names, False))
    one = rig.batch([T("09:30:00", 9_999_900, "buy", name) for name in names])
    raw = TickBatch._make(np.concatenate([column] * minutes) for column in one.ticks)
    raw.ts[:] += np.repeat(np.arange(minutes), len(names)) * NS_PER_MINUTE
    rig.runtime.on_ticks(EnrichedBatch(raw, *(np.concatenate([column] * minutes) for column in one[1:])))
    assert rig.runtime.refusals == {"price_above_budget": raw.ts.size}
    logged = [(row.ts, row.symbol, row.price) for row in rig.runtime.journal.story.refusals]
    assert logged == [(ts, f"NSE_EQ:{names[symbol]}", 9_999_900) for ts, symbol in zip(raw.ts, raw.symbol, strict=True)]


def test_the_eleventh_entry_is_refused_counting_those_that_pend() -> None:
    names = [f"S{n:02d}" for n in range(12)]
    rig = Rig(symbols=dict.fromkeys(names, False), position_size_bps=100)
    rig.play(*(T("10:00:00", 1_000, "buy", name) for name in names))
    assert len(rig.orders) == 10
    assert rig.runtime.refusals == {"max_positions": 2}


STOPS = [
    # risk in basis points, price after a buy at 100.00, the reason of the exit
    (100, 9_001, ""),
    (100, 9_000, "stop"),
    (0, 10_000, "stop"),
]


@pytest.mark.parametrize(("bps", "price", "reason"), STOPS)
def test_the_stop_is_touched_at_its_price(bps: int, price: int, reason: str) -> None:
    rig = Rig(risk_per_trade_bps=bps)
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_001 if bps == 0 else 10_000), T("10:00:02", price))
    assert [why for *_, why in rig.orders[1:]][:1] == ([reason] if reason else [])


def test_the_stop_is_the_reason_where_the_strategy_wants_out_too() -> None:
    rig = Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T("10:00:02", 5_000, "sell"))
    assert rig.orders[1][2] == "stop"


FEATURES = [
    # rsi, obi, vwap, holding it, the reason of the order it brings; prices in rupees
    (57.24, 0.314, 1399.85, False, "price 1402.10 above VWAP 1399.85, RSI 57.2, OBI 0.31"),
    (57.24, 0.314, 1402.10, False, ""),
    (50.0, 0.314, 1399.85, False, ""),
    (57.24, 0.0, 1399.85, False, ""),
    (float("nan"), 0.314, 1399.85, False, ""),
    (57.24, float("nan"), 1399.85, False, ""),
    (57.24, 0.314, 1402.11, True, "below VWAP"),
    (44.9, 0.314, 1399.85, True, "RSI below 45"),
    (44.9, 0.314, 1402.11, True, "below VWAP"),
    (45.0, 0.314, 1402.10, True, ""),
    (float("nan"), float("nan"), 1402.10, True, ""),
]


@pytest.mark.parametrize(("rsi", "obi", "vwap", "holding", "reason"), FEATURES)
def test_momentum_says_why(rsi: float, obi: float, vwap: float, holding: bool, reason: str) -> None:
    rig = Rig(strategy=Momentum(Momentum.Parameters()))
    ticks = [T("10:00:00", 140_210), T("10:00:01", 140_210), T("10:00:02", 140_210)]
    batch = rig.batch(ticks if holding else ticks[2:])
    for column, value in ((batch.rsi, 99.0), (batch.obi, 1.0), (batch.vwap, 0.01)):
        column[:] = value
    batch.rsi[-1], batch.obi[-1], batch.vwap[-1] = rsi, obi, vwap
    rig.runtime.on_ticks(batch)
    assert [why for *_, why in rig.orders[int(holding) :]] == ([reason] if reason else [])
    assert all(fill.reason for fill in rig.runtime.journal.story.fills)


class TooShort(Scripted):
    def signals(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(1, np.bool_), np.ones(1, np.bool_)


class NotBoolean(Scripted):
    def signals(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        return features.ltp, features.ltp


@pytest.mark.parametrize("wrong", [TooShort(), NotBoolean()])
def test_signals_that_are_not_one_boolean_a_tick_are_refused(wrong: Scripted) -> None:
    with pytest.raises(StrategyError, match="entry column that is not one boolean a tick"):
        Rig(strategy=wrong).play(T("10:00:00", 10_000), T("10:00:01", 10_000))
