"""Frames read with the generated classes, entry by entry: what the compiled reader must equal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from quant_platform.domain.money import MAX_PAISE
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY, NS_PER_MS, trading_day
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.ingestion.normalise import MAX_AHEAD_NS, MAX_NS, FrameCounters

Row = tuple[int, int, int, int, float, list[tuple[int, int, int, int]]]
"""Stamp, number, price, volume, average, levels."""


@dataclass
class Entry:
    """One entry of the map, if it can become a tick at all."""

    rupees: float | None
    volume: int
    average: float
    levels: list[tuple[int, int, int, int]]


class ByProtobuf:
    """Reads frames slowly."""

    def __init__(self, keys: Mapping[str, int], ranks: list[int]) -> None:
        self.keys = keys
        self.ranks = ranks
        self.last: dict[int, tuple[int, int, int]] = {}
        self.counters = FrameCounters()
        self.set_aside: list[tuple[int, str]] = []

    def ticks(self, payload: bytes, now_ns: int | None) -> list[Row]:
        self.counters.frames += 1
        try:
            frame = wire.FeedResponse.FromString(payload)
        except DecodeError:
            self.counters.undecodable += 1
            return []
        ts = frame.currentTs * NS_PER_MS
        is_doubtful = not 0 < ts <= (MAX_NS if now_ns is None else now_ns + MAX_AHEAD_NS)
        rows = []
        for key, feed in frame.feeds.items():
            number, entry = self.keys.get(key), entry_of(feed)
            if number is None or entry is None:
                self.counters.ignored += 1
            elif is_doubtful:
                self.put_aside(number, "stamp")
            elif (row := self.row(number, entry, ts, frame.type == wire.initial_feed)) is not None:
                rows.append(row)
        self.counters.ticks += len(rows)
        return sorted(rows, key=lambda row: self.ranks[row[1]])

    def put_aside(self, number: int, why: str) -> None:
        self.counters.implausible += 1
        self.set_aside.append((number, why))

    def row(self, number: int, entry: Entry, ts: int, is_snapshot: bool) -> Row | None:
        day, carried, volume = trading_day(ts), self.last.get(number), entry.volume
        if carried is not None and carried[0] < day:
            carried = None
        if volume < 0:
            return self.put_aside(number, f"volume {volume} is negative")
        if entry.rupees is not None:
            price = round(entry.rupees * 100) if abs(entry.rupees) < MAX_PAISE else 0
            if not 0 < price <= MAX_PAISE:
                return self.put_aside(number, f"price {entry.rupees} is not possible")
        elif carried is not None:
            price = carried[1]
        else:
            self.counters.without_price += 1
            return None
        if carried is not None:
            volume = volume or carried[2]
            if is_snapshot and price == carried[1] and volume <= carried[2]:
                self.counters.repeats += 1
                return None
        if carried is None or carried[0] == day:
            self.last[number] = (day, price, volume)
        return ts, number, price, volume, entry.average, entry.levels


def entry_of(feed: wire.Feed) -> Entry | None:
    """None for an index, or where there is nothing."""
    body: Any
    quotes: list[wire.Quote] = []
    average = 0.0
    if feed.HasField("fullFeed") and feed.fullFeed.HasField("marketFF"):
        body = feed.fullFeed.marketFF
        quotes, average = list(body.marketLevel.bidAskQuote), body.atp
    elif feed.HasField("firstLevelWithGreeks"):
        body = feed.firstLevelWithGreeks
        quotes = [body.firstDepth] if body.HasField("firstDepth") else []
    elif feed.HasField("ltpc"):
        return Entry(feed.ltpc.ltp, 0, 0.0, [(0, 0, 0, 0)] * LEVELS)
    else:
        return None
    levels = [(paise(q.bidP), shares(q.bidQ), paise(q.askP), shares(q.askQ)) for q in quotes[:LEVELS]]
    levels += [(0, 0, 0, 0)] * (LEVELS - len(levels))
    price = body.ltpc.ltp if body.HasField("ltpc") else None
    return Entry(price, body.vtt, average if 0 < average < np.inf else 0.0, levels)


def paise(rupees: float) -> int:
    return int(np.fmin(np.fmax(np.rint(rupees * 100), 0.0), MAX_LEVEL_QUANTITY))


def shares(quantity: int) -> int:
    return min(max(quantity, 0), MAX_LEVEL_QUANTITY)
