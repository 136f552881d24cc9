"""How long an order takes in the platform of many processes: from its tick's receipt to its commit in Postgres.

    python -m benchmarks.distributed_latency [--quick] [--json]

``quant up --mode distributed`` on servers of its own, over a replay at the wall's pace: 2,000 ticks a second of 100
symbols with five levels, 20 to a stamp, from just before the session's start on; the momentum rule over twice the usual
positions, warmed by a day before. The platform measures itself: the ingestor's clocks carry the moments at which the
first tick of each stamp before them came in, the runtime notes at an order's commit how long ago that was for the stamp
it was decided on.
"""

import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Run, quant
from benchmarks.made_up import SEED, cache_folder, make_day, tables, trading_days, write_ticks
from benchmarks.runs import Runs
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import NS_PER_MS, NS_PER_SECOND, TickBatch, cut
from quant_platform.hosts.config import load_settings

NAME = "distributed, tick received → order committed at 2,000 ticks/s"
SERVERS = ("kafka", "postgres", "questdb", "redis")
GOALS = {"p50": Goal(60, 30, better="less"), "p99": Goal(250, 120, better="less")}
SYMBOLS = 100
TICKS_A_STAMP = 20
SPACING_MS = 10
TICKS_A_SECOND = TICKS_A_STAMP * 1000 // SPACING_MS
DAY_BEFORE = 60_000
"""Ticks of the day that warms the symbols up."""
BEFORE_OPEN_S = 20
"""So long before the session the ticks begin; a real market's do a quarter of an hour before: no server is cold."""
CAPITAL = 1_000_000
PARAMETERS = ("max_positions=20", "position_size_bps=500")
"""More positions than usual, hence more orders."""
QUIET_S = 4.0
"""Without another tick for so long, the data is over."""
WITHIN_S = 240.0


def market(ticks: int) -> TickBatch:
    """A day of few ticks, and the first ones of the day after it in frames, of one walk."""
    first, second = trading_days(2)
    batch = make_day(DAY_BEFORE + ticks, SYMBOLS, first, SEED)
    before, after = cut(batch, 0, DAY_BEFORE), cut(batch, DAY_BEFORE, DAY_BEFORE + ticks)
    hours = session_on(first)
    session = session_on(second)
    assert hours is not None
    assert session is not None
    opens, closes = hours.windows(False)[0]
    before.ts[:] = opens + np.arange(DAY_BEFORE) * ((closes - opens) // DAY_BEFORE // NS_PER_MS) * NS_PER_MS
    first_ns = session.windows(False)[0][0] - BEFORE_OPEN_S * NS_PER_SECOND
    after.ts[:] = first_ns + np.arange(ticks) // TICKS_A_STAMP * SPACING_MS * NS_PER_MS
    traded = np.zeros(SYMBOLS, np.int64)
    np.maximum.at(traded, before.symbol, before.volume)
    after.volume[:] -= traded[after.symbol]  # counts from nothing again
    after.atp[:] = 0
    order = np.lexsort((np.arange(ticks), after.symbol, after.ts))
    ordered = TickBatch._make(column[order] for column in after)
    return TickBatch._make(np.concatenate((getattr(before, name), getattr(ordered, name))) for name in before._fields)


def stored(ticks: int) -> Path:
    """The file of the market, made on first use."""
    path = cache_folder() / f"two-thousand-a-second-{ticks}-{BEFORE_OPEN_S}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".making")
        write_ticks(scratch, tables(market(ticks), SYMBOLS))
        scratch.rename(path)
    return path


def watch(platform: subprocess.Popen[str], runs: Runs, ticks: int) -> float:
    """Wait until the data is over; returns the CPU seconds that all its processes took by then.

    Raises:
        RuntimeError: the platform ended by itself.
        TimeoutError: no ticks come, or they do not end.
    """
    give_up, seen, since = time.monotonic() + WITHIN_S, 0, time.monotonic()
    while seen < ticks // 2 or time.monotonic() - since < QUIET_S:
        if platform.poll() is not None:
            raise RuntimeError(f"quant up ended with {platform.returncode}")
        if time.monotonic() > give_up:
            raise TimeoutError(f"{seen:,} of {ticks:,} ticks within {WITHIN_S:g} s")
        time.sleep(0.5)
        if (now := runs.ticks()) != seen:
            seen, since = now, time.monotonic()
    parent = psutil.Process(platform.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (parent, *parent.children(recursive=True)))


def traded(environment: Mapping[str, str], runs: Runs, path: Path, ticks: int) -> tuple[dict[str, Any], float]:
    """One run over the file: what it printed, and the CPU seconds of its processes."""
    options = ["--source", "replay", "--data", str(path), "--date", trading_days(2)[1].isoformat()]
    options += ["--subscribe", "all", "--speed", "1", "--fresh", "--json", "--capital", str(CAPITAL)]
    options += [part for parameter in PARAMETERS for part in ("--set", parameter)]
    runs.forget()
    with tempfile.TemporaryDirectory() as home:
        command = quant("up", "--mode", "distributed", "--home", home, *options)
        with subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as platform:
            try:
                cpu_s = watch(platform, runs, ticks)
                platform.send_signal(signal.SIGINT)
                said, _ = platform.communicate(timeout=WITHIN_S)
            finally:
                platform.kill()
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found, cpu_s


def measure(run: Run) -> Iterator[Figure]:
    """Medians, over the rounds, of the median and of the 99th percentile."""
    ticks = run.size(90, 45) * TICKS_A_SECOND
    path = stored(ticks)
    found, spent = [], []
    with stream.servers(*SERVERS) as environment:
        os.environ.update(environment)
        with Runs(load_settings()) as runs:
            for _ in range(run.rounds):
                numbers, cpu_s = traded(environment, runs, path, ticks)
                found.append(numbers)
                spent.append(cpu_s)
    orders = sum(numbers["orders"] for numbers in found)
    for name, goal in GOALS.items():
        latency_ms = statistics.median(numbers["latency_us"][name] for numbers in found) / 1000
        note = f"{orders:,} orders, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        yield Figure(f"{NAME}, {name}", latency_ms, "ms", goal, cpu_s=statistics.median(spent), note=note)


if __name__ == "__main__":
    figure.main(NAME, measure)
