"""Full-mode frames of 100 instruments through the WebSocket, decoding and ingestion, beside protobuf's parsing alone.

    python -m benchmarks.frames [--quick] [--json]

Another process sends frames as the broker does in full mode, five levels, candles and all, as fast as they are taken.
What counts is the CPU time of this process from opening the connection to the last frame: `UpstoxFeed` reads the
socket, the normaliser makes ticks of the frames, and admission judges them. The limit is the generated parser on the
same frames; no member of any message is looked at.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Limit, Run, in_turns
from benchmarks.made_up import Session, cache_folder
from quant_platform.adapters.broker.upstox_feed import UpstoxFeed
from quant_platform.adapters.clock.system import SystemClock
from quant_platform.domain.instruments import SymbolTable, instrument_for
from quant_platform.domain.ticks import LEVELS, NS_PER_MS, TickBatch
from quant_platform.hosts.results import peak_memory_mb
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.ingestion.normalise import Normaliser

NAME = "frames of 100 instruments through WebSocket, decode and ingestion"
INSTRUMENTS = 100
SPACING_MS = 250
SIZE_BYTES = 4


class Taken(NamedTuple):
    """What one side did with all frames."""

    ticks: int
    cpu_s: float

    @property
    def rate(self) -> float:
        """Thousands of ticks per CPU-second."""
        return self.ticks / self.cpu_s / 1000


def fill(body: wire.MarketFullFeed, ticks: TickBatch, row: int, stamp_ms: int) -> None:
    """Everything that an equity's entry holds in full mode."""
    price = ticks.ltp[row] / 100
    body.ltpc.ltp, body.ltpc.ltt, body.ltpc.ltq, body.ltpc.cp = price, stamp_ms, 10, price
    for level in range(LEVELS):
        body.marketLevel.bidAskQuote.add(
            bidP=ticks.bid_price[row, level] / 100, bidQ=int(ticks.bid_qty[row, level]),
            askP=ticks.ask_price[row, level] / 100, askQ=int(ticks.ask_qty[row, level]),
        )  # fmt: skip
    body.optionGreeks.SetInParent()
    for interval in ("1d", "I1"):
        body.marketOHLC.ohlc.add(
            interval=interval, open=price, high=price, low=price, close=price, vol=int(ticks.volume[row]), ts=stamp_ms
        )
    body.atp, body.vtt = float(ticks.atp[row]), int(ticks.volume[row])
    body.tbq, body.tsq, body.casEligible = float(ticks.bid_qty[row].sum()), float(ticks.ask_qty[row].sum()), True


def make(session: Session, count: int) -> list[bytes]:
    """Frames that each bring the next tick of every instrument."""
    ticks = session.columns()
    keys = [instrument_for(name).instrument_key for name in session.table().names]
    rows = [np.flatnonzero(ticks.symbol == number)[:count] for number in range(INSTRUMENTS)]
    first_ms, frames = int(ticks.ts[0]) // NS_PER_MS, []
    for place in range(count):
        frame = wire.FeedResponse(type=wire.live_feed, currentTs=first_ms + place * SPACING_MS)
        for number, key in enumerate(keys):
            frame.feeds[key].requestMode = wire.full_d5
            fill(frame.feeds[key].fullFeed.marketFF, ticks, int(rows[number][place]), frame.currentTs)
        frames.append(frame.SerializeToString())
    return frames


def stored(run: Run) -> Path:
    """The file of the frames, made on first use: each behind its size."""
    count = run.size(2000, 200)
    path = cache_folder() / f"frames-{count}-{INSTRUMENTS}.bin"
    if not path.exists():
        frames = make(Session(run.size(1_000_000, 100_000), INSTRUMENTS), count)
        scratch = path.with_suffix(".making")
        scratch.write_bytes(b"".join(len(frame).to_bytes(SIZE_BYTES, "big") + frame for frame in frames))
        scratch.rename(path)
    return path


def read(path: Path) -> list[bytes]:
    """The frames of a file."""
    whole, at, frames = path.read_bytes(), 0, []
    while at < len(whole):
        start = at + SIZE_BYTES
        at = start + int.from_bytes(whole[at:start], "big")
        frames.append(whole[start:at])
    return frames


async def send(path: Path) -> None:
    """Serve the frames to everyone who connects, at a port that is printed."""
    frames = read(path)

    async def every_frame(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame)
        await socket.wait_closed()

    async with serve(every_frame, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


class Ingestion:
    """Takes the feed's frames as the ingestor does, up to what becomes of the ticks."""

    def __init__(self) -> None:
        table = SymbolTable()
        session = Session(1, INSTRUMENTS)
        keys = {instrument_for(name).instrument_key: table.add(name) for name in session.table().names}
        self._normaliser = Normaliser(table, keys)
        self._admission = Admission(table)
        self.ticks = 0

    def on_frame(self, payload: bytes, _received_ns: int) -> None:
        """Make ticks of a frame and judge them."""
        batch = self._normaliser.ticks(payload)
        if batch is not None:
            self.ticks += self._admission.on_ticks(batch).ticks.ts.size

    async def on_connected(self, lost_since_ns: int | None) -> None:
        """Nothing to prepare."""

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do."""


class Address:
    """Where the frames are sent from.

    Args:
        port: of the sending process.
    """

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}"

    async def authorize_feed(self) -> str:
        """The address; no code is needed."""
        return self._url


async def ingest(port: int, frames: int) -> Taken:
    """Take every frame once."""
    ingestion = Ingestion()
    feed = UpstoxFeed(Address(port), SystemClock(), ingestion, lambda: True, keepalive_s=None)
    before = time.process_time()
    await feed.connect_once()
    await feed.drained(frames)
    cpu_s = time.process_time() - before
    await feed.disconnect("all frames were taken")
    return Taken(ingestion.ticks, cpu_s)


def parse(frames: list[bytes]) -> Taken:
    """Parse every frame, and look at nothing in it."""
    before = time.process_time()
    for frame in frames:
        wire.FeedResponse.FromString(frame)
    return Taken(len(frames) * INSTRUMENTS, time.process_time() - before)


def measure(run: Run) -> Iterator[Figure]:
    """Thousands of ticks per CPU-second; medians of the rounds."""
    path = stored(run)
    frames = read(path)
    command = [sys.executable, "-m", "benchmarks.frames", "--send", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        try:
            assert sender.stdout is not None
            port = int(sender.stdout.readline())
            ours, parsed = in_turns(run.rounds, lambda: asyncio.run(ingest(port, len(frames))), lambda: parse(frames))
        finally:
            sender.terminate()
    if min(taken.ticks for taken in ours) != len(frames) * INSTRUMENTS:
        raise RuntimeError("ticks were lost on the way")
    yield Figure(
        NAME, float(np.median([taken.rate for taken in ours])), "k ticks per CPU-s", Goal(0.2, 0.4, of="ratio"),
        Limit("protobuf parse alone", float(np.median([taken.rate for taken in parsed]))),
        peak_memory_mb(), float(np.median([taken.cpu_s for taken in ours])), f"{len(frames[0]):,} bytes a frame",
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--send"]:
        asyncio.run(send(Path(sys.argv[2])))
    else:
        figure.main(NAME, measure)
