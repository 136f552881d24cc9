"""From the bytes of a frame with one instrument to the order decided, all cores in one process.

    python -m benchmarks.frame_latency [--quick] [--json]

Full-mode frames with five levels go one by one through the intake of `quant up`, with its ledger (every commit synced)
and its store of ticks. What counts are the frames that brought an order about, from receipt to the order decided; the
commit comes after. Times are the thread's CPU time, as on a core of its own: nothing waits on the way, so that what
other programs on the machine do to it is left out, and only that. The note tells of all frames, and of the wall clock,
by which `quant up` reports its own.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Run
from benchmarks.made_up import Session
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.arrow import ArrowTickStore
from quant_platform.domain.instruments import instrument_for
from quant_platform.domain.ticks import LEVELS, NS_PER_MS
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform, FrameIntake
from quant_platform.hosts.results import peak_memory_mb
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.ingestion.normalise import Normaliser
from quant_platform.services.market_persistor.rows import stored_columns

NAME = "one-instrument frame, bytes to order decided"
CAPITAL = 200_000_000  # paise


class Replies(NamedTuple):
    """How long frames took, ns, without commits."""

    deciding: list[int]  # CPU, those that brought an order about
    every: list[int]  # CPU
    wall: list[int]  # those that brought an order about


def frames(session: Session, count: int) -> list[bytes]:
    """The session's first ticks as the feed sends them, one a frame."""
    keys = [instrument_for(name).instrument_key for name in session.table().names]
    ticks = session.columns()
    written = []
    for i in range(count):
        frame = wire.FeedResponse(type=wire.live_feed, currentTs=int(ticks.ts[i]) // NS_PER_MS)
        body = frame.feeds[keys[ticks.symbol[i]]].fullFeed.marketFF
        body.ltpc.ltp = ticks.ltp[i] / 100
        body.vtt, body.atp = int(ticks.volume[i]), float(ticks.atp[i])
        for level in range(LEVELS):
            body.marketLevel.bidAskQuote.add(
                bidP=ticks.bid_price[i, level] / 100, bidQ=int(ticks.bid_qty[i, level]),
                askP=ticks.ask_price[i, level] / 100, askQ=int(ticks.ask_qty[i, level]),
            )  # fmt: skip
        written.append(frame.SerializeToString())
    return written


def trade(session: Session, payloads: list[bytes]) -> Replies:
    """Take the frames through a platform in a home of its own."""
    strategy, settings = load_strategy("momentum", {})
    table = session.table()
    with tempfile.TemporaryDirectory(prefix="quant-bench-") as home, SqlLedger(Path(home) / "ledger.sqlite") as ledger:
        start = ledger.begin(RunRequest("bench", "paper", strategy.name, "{}", CAPITAL, CAPITAL, fresh=True))
        ticks = ArrowTickStore(Path(home), stored_columns)
        platform = EmbeddedPlatform(Blueprint(strategy, settings, True), table, ledger, start.balance, ticks)
        keys = {instrument_for(name).instrument_key: table.number(name) for name in table.names}
        committing = 0

        def commit() -> None:
            nonlocal committing
            began = time.thread_time_ns()
            platform.commit(platform.snapshot({}))
            committing += time.thread_time_ns() - began

        intake = FrameIntake(platform, Normaliser(table, keys), None, commit)
        replies = Replies([], [], [])
        for payload in payloads:
            orders, before = platform.runtime.orders, committing
            received, began = time.perf_counter_ns(), time.thread_time_ns()
            intake.on_frame(payload, received)
            took = time.thread_time_ns() - began - (committing - before)
            replies.every.append(took)
            if platform.runtime.orders > orders:
                replies.deciding.append(took)
            platform.flush_ticks(if_due=True)
        ticks.close()
        replies.wall.extend(intake.latencies_ns)
        return replies


def measure(run: Run) -> Iterator[Figure]:
    """Microseconds; the frames of all rounds together, the first tenth of each left out as its warm-up."""
    session = Session(run.size(2_000_000, 100_000), 10)
    payloads = frames(session, run.size(200_000, 20_000))
    trade(session, payloads[:2000])
    found = Replies([], [], [])
    for _ in range(run.rounds):
        spent_before = time.process_time()
        replies = trade(session, payloads)
        cpu_s = time.process_time() - spent_before
        found.deciding.extend(replies.deciding)
        found.every.extend(replies.every[len(payloads) // 10 :])
        found.wall.extend(replies.wall)
    if not found.deciding:
        raise RuntimeError("no frame decided an order: give more of them")
    of_all, wall = (np.percentile(times, [50, 99]) / 1000 for times in (found.every, found.wall))
    for place, goal in ((50, Goal(50, 25, better="less")), (99, Goal(150, 80, better="less"))):
        yield Figure(
            f"{NAME}, p{place}", float(np.percentile(found.deciding, place)) / 1000, "CPU-µs", goal,
            peak_mb=peak_memory_mb(), cpu_s=cpu_s,
            note=(
                f"{len(found.deciding):,} orders; by the wall p50 {wall[0]:.0f}, p99 {wall[1]:.0f} µs; "
                f"all frames: p50 {of_all[0]:.0f}, p99 {of_all[1]:.0f} CPU-µs"
            ),
        )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
