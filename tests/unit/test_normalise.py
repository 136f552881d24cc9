"""Frames become ticks: carried forward, ordered, judged."""

import math
from datetime import date, time

import numpy as np
import pytest

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_DAY, NS_PER_MS, NS_PER_SECOND, TickBatch, empty_ticks
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.ingestion.normalise import SET_ASIDE_KEPT, Normaliser

T0 = ns_at(date(2026, 4, 24), time(9, 15))
TCS, INFY = "NSE_EQ|INE467B01029", "NSE_EQ|INE009A01021"
Levels = list[tuple[float, int, float, int]]


class Frames:
    """Builds what the broker would send."""

    def __init__(self, ts: int, kind: wire.Type.ValueType = wire.live_feed) -> None:
        self.frame = wire.FeedResponse(type=kind, currentTs=ts // NS_PER_MS)

    def full(
        self, key: str, ltp: float | None, vtt: int = 0, atp: float = 0.0, levels: Levels | None = None
    ) -> "Frames":
        body = self.frame.feeds[key].fullFeed.marketFF
        if ltp is not None:
            body.ltpc.ltp = ltp
            body.ltpc.SetInParent()
        body.vtt, body.atp = vtt, atp
        for bid_price, bid_qty, ask_price, ask_qty in levels or []:
            body.marketLevel.bidAskQuote.add(bidP=bid_price, bidQ=bid_qty, askP=ask_price, askQ=ask_qty)
        return self

    @property
    def payload(self) -> bytes:
        return self.frame.SerializeToString()


def live(ts: int = T0) -> Frames:
    return Frames(ts)


def initial(ts: int = T0) -> Frames:
    return Frames(ts, wire.initial_feed)


@pytest.fixture
def table() -> SymbolTable:
    table = SymbolTable()
    table.add("NSE_EQ:TCS")
    table.add("NSE_EQ:INFY")
    return table


@pytest.fixture
def core(table: SymbolTable) -> Normaliser:
    return Normaliser(table, {TCS: table.number("NSE_EQ:TCS"), INFY: table.number("NSE_EQ:INFY")})


def some(batch: TickBatch | None) -> TickBatch:
    assert batch is not None
    return batch


def test_a_full_entry_becomes_a_tick_in_paise(core: Normaliser) -> None:
    levels = [(3500.0 - i, 10 + i, 3500.05 + i, 20 + i) for i in range(5)]
    batch = some(core.ticks(live(T0 + 250 * NS_PER_MS).full(TCS, 3500.05, 1200, 3499.87, levels).payload))
    assert batch.ts.tolist() == [T0 + 250 * NS_PER_MS]
    assert (batch.symbol[0], batch.ltp[0], batch.volume[0], batch.atp[0]) == (0, 350005, 1200, 3499.87)
    assert batch.bid_price[0].tolist() == [350000 - 100 * i for i in range(5)]
    assert batch.ask_price[0].tolist() == [350005 + 100 * i for i in range(5)]
    assert batch.bid_qty[0].tolist() == [10, 11, 12, 13, 14]
    assert batch.ask_qty[0].tolist() == [20, 21, 22, 23, 24]
    assert (batch.seq[0], batch.flags[0]) == (0, 0)


def test_a_batch_has_the_types_that_kernels_expect(core: Normaliser) -> None:
    expected = [(column.dtype, column.shape) for column in empty_ticks(1, 5)]
    for levels in ([], [(99.0, 5, 101.0, 6)]):
        batch = some(core.ticks(live().full(TCS, 3500.0, 5, 0.0, levels).payload))
        assert [(column.dtype, column.shape) for column in batch] == expected
        assert all(column.flags.c_contiguous and column.flags.writeable for column in batch)


def test_ticks_of_a_frame_stand_in_the_order_of_their_symbols(core: Normaliser) -> None:
    batch = some(core.ticks(live().full(TCS, 3500.0, 5, 0.0, [(1.0, 2, 3.0, 4)]).full(INFY, 1500.0, 6).payload))
    assert batch.symbol.tolist() == [1, 0]  # INFY before TCS, though its number is higher
    assert batch.volume.tolist() == [6, 5]
    assert batch.bid_qty[:, 0].tolist() == [0, 2]


def test_an_entry_without_a_trade_keeps_the_last_price(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    batch = some(core.ticks(live(T0 + 1).full(TCS, None, 0, 0.0, [(3499.0, 5, 3501.0, 6)]).payload))
    assert (batch.ltp[0], batch.volume[0], batch.bid_qty[0, 0]) == (350000, 100, 5)


def test_a_volume_of_zero_keeps_the_last_one_and_an_average_of_zero_stays_absent(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100, 3499.0).payload)
    batch = some(core.ticks(live(T0 + 1).full(TCS, 3501.0).payload))
    assert (batch.volume[0], batch.atp[0]) == (100, 0.0)


def test_a_falling_volume_passes_as_it_came(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    assert some(core.ticks(live(T0 + 1).full(TCS, 3500.0, 90).payload)).volume.tolist() == [90]


def test_an_entry_without_a_book_has_no_levels(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100, 0.0, [(3499.0, 5, 3501.0, 6)]).payload)
    batch = some(core.ticks(live(T0 + 1).full(TCS, 3501.0, 101).payload))
    assert not batch.bid_price.any()
    assert not batch.ask_qty.any()


def test_the_first_five_levels_count_and_missing_ones_are_zero(core: Normaliser) -> None:
    deep = [(100.0 - i, i + 1, 101.0 + i, i + 1) for i in range(30)]
    frame = live().full(TCS, 100.5, 1, 0.0, deep).full(INFY, 1500.0, 1, 0.0, [(0.0, 0, 1500.5, 7)])
    batch = some(core.ticks(frame.payload))
    assert batch.bid_qty.tolist() == [[0] * 5, [1, 2, 3, 4, 5]]
    assert batch.ask_qty.tolist() == [[7, 0, 0, 0, 0], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize("bad", [-5.0, math.nan])
def test_an_impossible_level_price_is_no_price(core: Normaliser, bad: float) -> None:
    batch = some(core.ticks(live().full(TCS, 100.0, 1, 0.0, [(bad, 5, 101.0, 2**40)]).payload))
    assert (batch.bid_price[0, 0], batch.ask_qty[0, 0]) == (0, 2**31 - 1)


def test_a_source_without_depth_gives_ticks_without_depth_columns(table: SymbolTable) -> None:
    core = Normaliser(table, {TCS: 0}, levels=0)
    batch = some(core.ticks(live().full(TCS, 100.0, 1, 0.0, [(99.0, 5, 101.0, 5)]).payload))
    assert batch.bid_price.shape == (1, 0)


def test_nothing_is_a_tick_before_the_symbol_has_a_price(core: Normaliser) -> None:
    assert core.ticks(live().full(TCS, None, 0, 0.0, [(3499.0, 5, 3501.0, 6)]).payload) is None
    assert core.counters.without_price == 1


def test_nothing_is_carried_into_another_day(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    tomorrow = T0 + NS_PER_DAY
    assert core.ticks(live(tomorrow).full(TCS, None, 50).payload) is None
    assert some(core.ticks(live(tomorrow).full(TCS, 3400.0).payload)).volume.tolist() == [0]


def test_ltpc_mode_gives_price_alone(core: Normaliser) -> None:
    frame = live()
    frame.frame.feeds[TCS].ltpc.ltp = 3500.0
    batch = some(core.ticks(frame.payload))
    assert (batch.ltp[0], batch.volume[0], batch.bid_qty.any()) == (350000, 0, False)


def test_option_greeks_mode_gives_the_first_level(core: Normaliser) -> None:
    frame = live()
    body = frame.frame.feeds[TCS].firstLevelWithGreeks
    body.ltpc.ltp, body.vtt = 3500.0, 77
    body.firstDepth.bidP, body.firstDepth.bidQ = 3499.0, 5
    batch = some(core.ticks(frame.payload))
    assert (batch.volume[0], batch.bid_price[0].tolist()) == (77, [349900, 0, 0, 0, 0])


def test_indices_and_unknown_keys_are_counted_and_left_out(core: Normaliser) -> None:
    frame = live().full("NSE_EQ|INE000X01000", 10.0, 1)
    frame.frame.feeds["NSE_INDEX|Nifty 50"].fullFeed.indexFF.ltpc.ltp = 24000.0
    frame.frame.feeds[TCS].fullFeed.indexFF.ltpc.ltp = 1.0
    frame.frame.feeds[INFY].requestMode = wire.full_d5
    assert core.ticks(frame.payload) is None
    assert core.counters.ignored == 4


def test_a_market_info_frame_gives_nothing(core: Normaliser) -> None:
    frame = Frames(T0, wire.market_info)
    frame.frame.marketInfo.segmentStatus["NSE_EQ"] = wire.NORMAL_OPEN
    assert core.ticks(frame.payload) is None
    assert core.counters.frames == 1


def test_a_frame_that_is_no_protobuf_is_counted(core: Normaliser) -> None:
    assert core.ticks(b"\xff\xff\xff") is None
    assert core.counters.undecodable == 1


@pytest.mark.parametrize("ltp", [math.nan, math.inf, -math.inf, 0.0, -1.0, 0.001, 1e300])
def test_an_impossible_price_is_set_aside_and_leaves_the_last_one(core: Normaliser, ltp: float) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    assert core.ticks(live(T0 + 1).full(TCS, ltp, 200).payload) is None
    (entry,) = core.take_set_aside()
    assert entry.symbol == "NSE_EQ:TCS"
    assert "price" in entry.reason
    assert core.counters.implausible == 1
    kept = some(core.ticks(live(T0 + 2).full(TCS, None).payload))
    assert (kept.ltp[0], kept.volume[0]) == (350000, 100)


def test_a_negative_volume_is_set_aside(core: Normaliser) -> None:
    batch = some(core.ticks(live().full(TCS, 3500.0, -1).full(INFY, 1500.0, 5).payload))
    assert batch.symbol.tolist() == [1]
    assert [entry.reason for entry in core.take_set_aside()] == ["volume -1 is negative"]
    assert core.take_set_aside() == []


def test_a_stamp_more_than_five_seconds_ahead_of_our_clock_is_set_aside(core: Normaliser) -> None:
    payload = live(T0 + 5 * NS_PER_SECOND).full(TCS, 3500.0, 1).payload
    assert core.ticks(payload, T0 - NS_PER_MS) is None
    assert "5.0 s ahead" in core.take_set_aside()[0].reason
    assert core.ticks(payload, T0) is not None
    assert core.ticks(live(T0 + NS_PER_DAY).full(TCS, 3500.0, 1).payload) is not None


def test_a_frame_without_a_stamp_is_set_aside(core: Normaliser) -> None:
    assert core.ticks(live(0).full(TCS, 3500.0, 1).payload) is None
    assert core.counters.implausible == 1


def test_what_is_set_aside_is_bounded_while_its_count_is_not(core: Normaliser) -> None:
    payload = live().full(TCS, -1.0, 1).payload
    for _ in range(SET_ASIDE_KEPT + 5):
        core.ticks(payload)
    assert len(core.take_set_aside()) == SET_ASIDE_KEPT
    assert core.counters.implausible == SET_ASIDE_KEPT + 5


def test_the_snapshot_of_an_unseen_symbol_is_a_tick(core: Normaliser) -> None:
    assert some(core.ticks(initial().full(TCS, 3500.0, 100).payload)).volume.tolist() == [100]


@pytest.mark.parametrize("volume", [100, 99, 0])
def test_a_snapshot_that_says_nothing_new_is_no_tick(core: Normaliser, volume: int) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    assert core.ticks(initial(T0 + 1).full(TCS, 3500.0, volume).payload) is None
    assert core.counters.repeats == 1


@pytest.mark.parametrize(("ltp", "volume"), [(3500.05, 100), (3500.0, 101)])
def test_a_snapshot_that_says_something_new_is_a_tick(core: Normaliser, ltp: float, volume: int) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    assert core.ticks(initial(T0 + 1).full(TCS, ltp, volume).payload) is not None


def test_the_first_snapshot_of_another_day_is_a_tick(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    assert core.ticks(initial(T0 + NS_PER_DAY).full(TCS, 3500.0, 100).payload) is not None


def test_an_equal_live_entry_stays_a_tick_for_the_judge_of_duplicates(core: Normaliser) -> None:
    payload = live().full(TCS, 3500.0, 100).payload
    core.ticks(payload)
    assert core.ticks(payload) is not None


def test_a_late_frame_of_yesterday_does_not_reset_today(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).payload)
    core.ticks(live(T0 - NS_PER_DAY).full(TCS, 3300.0, 7).payload)
    assert some(core.ticks(live(T0 + 1).full(TCS, None).payload)).ltp.tolist() == [350000]


def test_symbols_may_be_added_while_the_core_runs(table: SymbolTable) -> None:
    keys = {TCS: 0}
    core = Normaliser(table, keys)
    core.ticks(live().full(TCS, 3500.0, 1).payload)
    keys["NSE_EQ|INE117A01022"] = table.add("NSE_EQ:ABB")
    batch = some(core.ticks(live().full(TCS, 3500.0, 1).full("NSE_EQ|INE117A01022", 7300.0, 1).payload))
    assert [table.name(n) for n in batch.symbol] == ["NSE_EQ:ABB", "NSE_EQ:TCS"]


def test_a_restored_core_answers_as_the_first_would(core: Normaliser) -> None:
    core.ticks(live().full(TCS, 3500.0, 100).full(INFY, 1500.0, 7).payload)
    other_table = SymbolTable()
    other_table.add("NSE_EQ:ABB")
    other = Normaliser(other_table, {TCS: 2, INFY: 1})
    other_table.add("NSE_EQ:INFY")
    other_table.add("NSE_EQ:TCS")
    other.restore(core.snapshot())
    payload = live(T0 + 1).full(TCS, None, 0, 0.0, [(1.0, 2, 3.0, 4)]).full(INFY, 1501.0).payload
    ours, theirs = some(core.ticks(payload)), some(other.ticks(payload))
    for mine, its in zip(ours[2:], theirs[2:], strict=True):
        np.testing.assert_array_equal(mine, its)
    assert [other_table.name(n) for n in theirs.symbol] == ["NSE_EQ:INFY", "NSE_EQ:TCS"]
    assert other.counters == core.counters


def test_a_foreign_snapshot_is_refused(core: Normaliser) -> None:
    with pytest.raises(LedgerError):
        core.restore(b"not a snapshot")
