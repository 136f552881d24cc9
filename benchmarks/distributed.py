"""The platform of many processes from the first frame to the last stored tick, on two cores.

    python -m benchmarks.distributed [--quick] [--json]

An exchange hands out frames that were encoded beforehand, 100 instruments with five levels in each, as fast as the
ingestor takes them. upstox_ingestor, feature_engine, market_persistor and strategy_runtime run as compose runs them, on
Kafka, Postgres, QuestDB and Redis of their own. The time is that from the first frame to the moment at which QuestDB
shows every tick and the runtime's ledger has committed every tick. The CPU seconds, which the note splits up, are those
of all these processes in that time; a machine that does nothing else comes near to processors / CPU seconds.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Run
from benchmarks.made_up import SEED, cache_folder, make_day, tables, trading_days, write_ticks
from benchmarks.runs import Runs
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import NS_PER_MS, NS_PER_SECOND, TickBatch
from quant_platform.domain.topics import TOPICS
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.distributed import connections, feature_engine, market_persistor
from quant_platform.simulator.feed_frames import FrameWriter
from quant_platform.simulator.market_day import MarketDay
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.server import ExchangeServer

NAME = "distributed, ticks end to end"
GOAL = Goal(25_000, 40_000)
SERVERS = ("kafka", "postgres", "questdb", "redis")
SYMBOLS = 100
LOOKS_EVERY_S = 0.1
WITHIN_S = 300.0


class Passage(NamedTuple):
    """What all ticks took."""

    wall_s: float
    cpu_s: Mapping[str, float]  # by process


def market(ticks: int) -> TickBatch:
    """A session in which all symbols tick at the same moments."""
    day = trading_days(1)[0]
    session = session_on(day)
    assert session is not None
    opens, closes = session.windows(False)[0]
    batch = make_day(ticks, SYMBOLS, day, SEED)
    place = np.empty(ticks, np.int64)  # of a row among those of its symbol
    by_symbol = np.argsort(batch.symbol, kind="stable")
    counts = np.bincount(batch.symbol, minlength=SYMBOLS)
    place[by_symbol] = np.concatenate([np.arange(count) for count in counts])
    batch.ts[:] = opens + place * ((closes - opens) // int(counts.max()) // NS_PER_MS) * NS_PER_MS
    order = np.lexsort((batch.symbol, batch.ts))
    return TickBatch._make(column[order] for column in batch)


def stored(ticks: int) -> Path:
    """The file of the market, made on first use."""
    path = cache_folder() / f"in-step-{ticks}-{SYMBOLS}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".making")
        write_ticks(scratch, tables(market(ticks), SYMBOLS))
        scratch.rename(path)
    return path


class Beforehand(FrameWriter):
    """Writes all frames when the first request comes, and tells when the first of them is asked for."""

    _frames: Sequence[bytes] = ()
    _following: NDArray[np.int64]
    _is_told = False

    def live(
        self, day: MarketDay, start: int, stop: int, modes: NDArray[np.int8]
    ) -> tuple[list[bytes], NDArray[np.int64]]:
        """Frames of these rows, whatever is subscribed."""
        if not self._is_told:
            self._is_told = True
            print(time.time_ns(), flush=True)
        rows = slice(*np.searchsorted(day.frames.starts, (start, stop)).tolist())
        return list(self._frames[rows]), self._following[rows]

    def snapshot(self, day: MarketDay | None, stop: int, now_ns: int, modes: dict[int, int]) -> bytes:
        """As usual."""
        if not self._frames and day is not None:
            everything = np.full(len(self._keys), next(iter(modes.values())), np.int8)
            self._frames, self._following = super().live(day, 0, day.ticks.ts.size, everything)
        return super().snapshot(day, stop, now_ns, modes)


def exchange(path: Path) -> None:
    """Serve the frames; prints where, and later when the first one was asked for."""
    server = ExchangeServer(ExchangeOptions(source="replay", speed=None), FileTickSource([str(path)]))
    app = server.config.app.state  # type: ignore[union-attr]
    app.exchange.writer = Beforehand(app.exchange.source.instruments)
    server.run()


@contextmanager
def serving(path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The exchange's process while the block lasts, and the variables by which services find it."""
    command = [sys.executable, "-m", "benchmarks.distributed", "--exchange", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = json.loads(process.stdout.readline())
            yield process, {
                "QUANT_UPSTOX__BASE_URL": found["url"],
                "QUANT_UPSTOX__ACCESS_TOKEN": found["token"],
                "QUANT_FEED__DEPTH": "true",
                "QUANT_FEED__SUBSCRIBE": "all",
            }  # fmt: skip
        finally:
            process.terminate()


class Target:
    """Where ticks arrive.

    Args:
        environment: says where the servers are.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        settings = load_settings()
        self._runs = Runs(settings)
        self._questdb = QuestdbHttp(address_of(environment["QUESTDB_HTTP_URL"]), 30.0)
        self._bus = connections.kafka(settings)

    def empty(self) -> None:
        """Forget what an earlier round brought."""
        self._runs.forget()
        self._questdb.ask("DROP TABLE IF EXISTS ticks")
        stream.forget(self._bus, feature_engine.NAME, *(each.group for each in market_persistor.INPUTS))
        self._bus.remove(TOPICS)
        self._bus.ensure(TOPICS)

    def arrived(self) -> tuple[int, int]:
        """Ticks that can be read, and ticks that this round's run has committed."""
        return self._rows(), self._runs.ticks()

    def _rows(self) -> int:
        try:
            return int(self._questdb.ask("SELECT count() FROM ticks")[0][0])
        except UnavailableError:  # the table is not there yet
            return 0


def cpu_by_process(but: int) -> dict[str, float]:
    """CPU seconds so far of everything that this process has started, but of one process."""
    found: dict[str, float] = {}
    for each in psutil.Process().children(recursive=True):
        if each.pid != but:
            line = each.cmdline()
            known = [name for name in SERVERS if any(name in part for part in line)]
            name = line[line.index("service") + 1] if "service" in line else (known or [each.name()])[0]
            found[name] = found.get(name, 0.0) + sum(each.cpu_times()[:2])
    return found


def passage(environment: Mapping[str, str], target: Target, path: Path, ticks: int, number: int) -> Passage:
    """All ticks through services that were just started."""
    target.empty()
    with ExitStack() as running:
        process, market_of = running.enter_context(serving(path))
        agreed = {**environment, **market_of, "QUANT_SERVICE__PORT": "0"}
        for name, *arguments in (
            ("feature_engine",),
            ("market_persistor",),
            ("strategy_runtime", "--portfolio", f"bench{number}"),
            ("upstox_ingestor", "--whole-universe"),
        ):
            running.enter_context(stream.service([name, *arguments], agreed))
        assert process.stdout is not None
        began_ns = int(process.stdout.readline())
        before, give_up = cpu_by_process(process.pid), time.monotonic() + WITHIN_S
        while min(arrived := target.arrived()) < ticks:
            if time.monotonic() > give_up:
                raise TimeoutError(f"of {ticks:,} ticks, {arrived} were stored and committed within {WITHIN_S:g} s")
            time.sleep(LOOKS_EVERY_S)
        wall_s = (time.time_ns() - began_ns) / NS_PER_SECOND
        spent = cpu_by_process(process.pid)
    return Passage(wall_s, {name: cpu_s - before.get(name, 0.0) for name, cpu_s in spent.items()})


def measure(run: Run) -> Iterator[Figure]:
    """Ticks a second; the median of the rounds."""
    ticks = run.size(400_000, 40_000)
    path = stored(ticks)
    with stream.servers(*SERVERS) as environment:
        target = Target(environment)
        found = [passage(environment, target, path, ticks, number) for number in range(run.rounds)]
    middle = sorted(found)[len(found) // 2]
    parts = sorted(middle.cpu_s.items(), key=lambda part: -part[1])
    cpu_s = statistics.median(sum(each.cpu_s.values()) for each in found)
    note = ", ".join(f"{name} {spent:.1f}" for name, spent in parts if spent >= 0.1)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    yield Figure(NAME, ticks / middle.wall_s, "ticks/s", GOAL, cpu_s=cpu_s, note=f"CPU-s: {note}; {load}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--exchange"]:
        exchange(Path(sys.argv[2]))
    else:
        figure.main(NAME, measure)
