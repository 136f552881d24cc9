"""From the bytes of a frame with one instrument to the order decided, all cores in one process.

    python -m benchmarks.frame_latency [--quick] [--json]

Full-mode frames with five levels go one by one through the intake of `quant up`, with its ledger (every commit synced)
and its store of ticks. What counts are the frames that brought an order about, from receipt to the order decided; the
commit comes after and is left out. Measured is CPU time, since nothing on this way waits; where others use the machine
the wall shows their turns, too.
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
    """How long each frame took until its orders were decided, ns; commits left out."""

    cpu: list[int]
    wall: list[int]
    decided: list[bool]  # whether it brought an order about


def frames(session: Session) -> list[bytes]:
    """The session's ticks as the feed sends them, one a frame."""
    keys = [instrument_for(name).instrument_key for name in session.table().names]
    ticks = session.columns()
    written = []
    for i in range(session.ticks):
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
        commits = Stopwatch()

        def commit() -> None:
            with commits:
                platform.commit(platform.snapshot({}))

        intake = FrameIntake(platform, Normaliser(table, keys), None, commit)
        replies = Replies([], [], [])
        for payload in payloads:
            frame, before, orders = Stopwatch(), (commits.cpu_ns, commits.wall_ns), platform.runtime.orders
            with frame:
                intake.on_frame(payload, frame.started[1])
            replies.cpu.append(frame.cpu_ns - (commits.cpu_ns - before[0]))
            replies.wall.append(frame.wall_ns - (commits.wall_ns - before[1]))
            replies.decided.append(platform.runtime.orders > orders)
            platform.flush_ticks(if_due=True)
        ticks.close()
        return replies


class Stopwatch:
    """Time spent within ``with`` blocks, ns: of this thread's CPU, and on the wall."""

    def __init__(self) -> None:
        self.cpu_ns = self.wall_ns = 0
        self.started = (0, 0)

    def __enter__(self) -> None:
        self.started = (time.thread_time_ns(), time.perf_counter_ns())

    def __exit__(self, *_: object) -> None:
        self.cpu_ns += time.thread_time_ns() - self.started[0]
        self.wall_ns += time.perf_counter_ns() - self.started[1]


def measure(run: Run) -> Iterator[Figure]:
    """Microseconds; the frames of all rounds together, the first tenth of each left out as its warm-up."""
    session = Session(run.size(100_000, 20_000), 10)
    payloads = frames(session)
    trade(session, payloads[:2000])
    rounds = []
    for _ in range(min(run.rounds, 3)):
        spent_before = time.process_time()
        replies = trade(session, payloads)
        cpu_s = time.process_time() - spent_before
        rounds.append([np.array(column[len(payloads) // 10 :]) for column in replies])
    cpu, wall, decided = (np.concatenate(columns) for columns in zip(*rounds, strict=True))
    if not decided.any():
        raise RuntimeError("no frame decided an order: give more of them")
    for place, goal in ((50, Goal(50, 25, better="less")), (99, Goal(150, 80, better="less"))):
        on_the_wall, of_all = np.percentile(wall[decided], place) / 1000, np.percentile(cpu, place) / 1000
        yield Figure(
            f"{NAME}, p{place}", float(np.percentile(cpu[decided], place)) / 1000, "µs of CPU", goal,
            peak_mb=peak_memory_mb(), cpu_s=cpu_s,
            note=f"{decided.sum():,} orders; on the wall {on_the_wall:.0f} µs; all frames {of_all:.0f} µs of CPU",
        )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
