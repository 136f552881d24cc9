"""Frames read from their bytes equal frames read with the generated classes, whatever stands in them."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.ticks import NS_PER_MS, TickBatch
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.frame_scan import NOT_OURS, ODD, TOO_MANY, keys_of, plain, scan, scratch_for
from quant_platform.services.ingestion.normalise import FIRST_ROOM, Normaliser, SetAside
from tests.unit.frames_by_protobuf import ByProtobuf, Row
from tests.unit.made_up_frames import OURS, frames

NOW_NS = 1777002300300 * NS_PER_MS
NUMBERS = {key: number for number, key in enumerate(OURS)}


@pytest.fixture(scope="module")
def table() -> SymbolTable:
    table = SymbolTable()
    for symbol in ("NSE_EQ:TCS", "NSE_EQ:INFY", "NSE_EQ:ABB"):
        table.add(symbol)
    return table


def rows(batch: TickBatch | None) -> list[Row]:
    if batch is None:
        return []
    values = [batch.ts, batch.symbol, batch.ltp, batch.volume, batch.atp]
    depth = [batch.bid_price, batch.bid_qty, batch.ask_price, batch.ask_qty]
    levels = [list(zip(*row, strict=True)) for row in zip(*(column.tolist() for column in depth), strict=True)]
    return list(zip(*(column.tolist() for column in values), levels, strict=True))


def reason(entry: SetAside) -> str:
    return "stamp" if "stamp" in entry.reason else entry.reason


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), is_live=st.booleans())
def test_any_bytes_give_what_the_generated_parser_gives(table: SymbolTable, seed: int, is_live: bool) -> None:
    core, slow = Normaliser(table, NUMBERS), ByProtobuf(NUMBERS, table.rank.tolist())
    now_ns = NOW_NS if is_live else None
    for payload in frames(Random(seed), 20):
        assert rows(core.ticks(payload, now_ns)) == slow.ticks(payload, now_ns), payload.hex()
        assert core.counters == slow.counters, payload.hex()
    set_aside = [(table.number(entry.symbol), reason(entry)) for entry in core.take_set_aside()]
    assert sorted(set_aside) == sorted(slow.set_aside)


def test_made_up_frames_hold_what_the_comparison_is_about(table: SymbolTable) -> None:
    keys, scratch = keys_of(NUMBERS), scratch_for(FIRST_ROOM)
    found: Counter[str] = Counter()
    for seed in range(200):
        slow = ByProtobuf(NUMBERS, table.rank.tolist())
        for payload in frames(Random(seed), 20):
            slow.ticks(payload, NOW_NS)
            found["read at once"] += scan(payload, keys, scratch, False) != ODD
        found.update(dataclasses.asdict(slow.counters))
    assert min(found.values()) > 0, found
    assert 0.3 < found["read at once"] / found["frames"] < 0.7


def entry(frame: wire.FeedResponse, key: str) -> wire.MarketFullFeed:
    return frame.feeds[key].fullFeed.marketFF


def full_frame() -> wire.FeedResponse:
    """All that the broker sends in full mode, in every frame of a session."""
    frame = wire.FeedResponse(type=wire.live_feed, currentTs=NOW_NS // NS_PER_MS)
    for key in OURS:
        frame.feeds[key].requestMode = wire.full_d5
        body = entry(frame, key)
        body.ltpc.ltp, body.ltpc.ltt, body.ltpc.cp, body.ltpc.iep.value = 3500.05, 1777002300000, 3400.0, 3500.0
        for level in range(5):
            body.marketLevel.bidAskQuote.add(bidP=3500.0 - level, bidQ=10, askP=3501.0 + level, askQ=20)
        body.optionGreeks.SetInParent()
        for interval in ("1d", "I1"):
            body.marketOHLC.ohlc.add(interval=interval, open=1.0, high=2.0, low=0.5, close=1.5, vol=7, ts=1777002300000)
        body.atp, body.vtt, body.tbq, body.tsq, body.casEligible = 3499.0, 12345, 50.0, 100.0, True
    return frame


def test_a_frame_as_the_broker_sends_it_is_read_at_once() -> None:
    frame = full_frame()
    frame.feeds["NSE_INDEX|Nifty 50"].fullFeed.indexFF.ltpc.ltp = 24000.0
    frame.marketInfo.segmentStatus["NSE_EQ"] = wire.NORMAL_OPEN
    frame.marketInfo.casMarketStatus["NSE_EQ"].status = "CAS_STOP"
    scratch = scratch_for(10)
    assert scan(frame.SerializeToString(), keys_of(NUMBERS), scratch, False) == 4
    assert sorted(scratch.rows[:4]["number"].tolist()) == [NOT_OURS, 0, 1, 2]


def twice_the_same_key() -> bytes:
    return full_frame().SerializeToString() * 2


def a_message_in_two_pieces() -> bytes:
    return full_frame().SerializeToString() + wire.FeedResponse(marketInfo=wire.MarketInfo()).SerializeToString() * 2


def a_text_beyond_ascii() -> bytes:
    frame = full_frame()
    entry(frame, OURS[0]).marketOHLC.ohlc[0].interval = "é"
    return frame.SerializeToString()


def a_group() -> bytes:
    return full_frame().SerializeToString() + b"\x7b\x7c"


@pytest.mark.parametrize("make", [twice_the_same_key, a_message_in_two_pieces, a_text_beyond_ascii, a_group])
def test_what_only_the_parser_can_judge_is_read_in_its_writing(make: Callable[[], bytes]) -> None:
    odd, keys, scratch = make(), keys_of(NUMBERS), scratch_for(10)
    assert scan(odd, keys, scratch, False) == ODD
    assert scan(plain(odd), keys, scratch, True) == 3


def test_every_cut_of_a_frame_is_taken_or_refused_as_the_parser_does() -> None:
    whole, keys, scratch = full_frame().SerializeToString(), keys_of(NUMBERS), scratch_for(10)
    for size in range(len(whole)):
        try:
            entries = len(wire.FeedResponse.FromString(whole[:size]).feeds)
        except DecodeError:
            entries = ODD
        assert scan(whole[:size], keys, scratch, False) == entries, size


def test_a_frame_may_hold_more_entries_than_there_is_room_for_at_first() -> None:
    table = SymbolTable()
    numbers = {f"NSE_EQ|INE{i:09d}": table.add(f"NSE_EQ:S{i:04d}") for i in range(3 * FIRST_ROOM)}
    frame = wire.FeedResponse(type=wire.live_feed, currentTs=NOW_NS // NS_PER_MS)
    for key, number in numbers.items():
        frame.feeds[key].ltpc.ltp = 100.0 + number
    payload = frame.SerializeToString()
    assert scan(payload, keys_of(numbers), scratch_for(len(numbers) - 1), False) == TOO_MANY
    batch = Normaliser(table, numbers).ticks(payload)
    assert batch is not None
    assert batch.symbol.tolist() == list(range(len(numbers)))
    assert batch.ltp.tolist() == [10_000 + 100 * number for number in range(len(numbers))]


@pytest.mark.parametrize("between", range(8))
def test_a_key_met_before_the_room_grew_is_not_taken_for_one_that_comes_twice(
    monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    table = SymbolTable()
    numbers = {f"NSE_EQ|INE{i:09d}": table.add(f"NSE_EQ:S{i:04d}") for i in range(FIRST_ROOM + 2)}
    first, *others = numbers
    core = Normaliser(table, numbers)

    def frame(*keys: str) -> bytes:
        made = wire.FeedResponse(type=wire.live_feed, currentTs=NOW_NS // NS_PER_MS)
        for key in keys:
            made.feeds[key].ltpc.ltp = 100.0
        return made.SerializeToString()

    def refuse(payload: bytes) -> bytes:
        raise AssertionError(payload)

    monkeypatch.setattr("quant_platform.services.ingestion.normalise.plain", refuse)
    few, many = frame(first), frame(*others)
    for payload in (*[few] * 5, many, *[frame(others[0])] * between, few):
        core.ticks(payload)
    assert core.counters.ticks == 5 + len(others) + between + 1


def test_keys_that_share_a_place_in_the_table_are_told_apart() -> None:
    numbers = {f"K{i}": i for i in range(1000)}
    keys, scratch = keys_of(numbers), scratch_for(2000)
    frame = wire.FeedResponse()
    for i in range(1500):
        frame.feeds[f"K{i}"].ltpc.ltp = float(i)
    assert scan(frame.SerializeToString(), keys, scratch, False) == 1500
    found = dict(zip(scratch.rows["number"].tolist(), scratch.doubles.max(axis=1).tolist(), strict=True))
    assert all(found[number] == float(number) for number in numbers.values())
    assert scratch.rows["number"].tolist()[:1500].count(NOT_OURS) == 500
