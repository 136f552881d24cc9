"""Run ``quant`` in a process of its own, make markets for it to trade, and look into the ledger that it left."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from datetime import time as clock_time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_MS

QUANT = (sys.executable, "-m", "quant_platform.cli")
SESSIONS = (date(2026, 7, 30), date(2026, 7, 31))
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:ITC", "NSE_EQ:SBIN", "NSE_EQ:WIPRO")

RULE_KEYS = (
    *("ticks", "late", "duplicates", "orders", "fills", "cancelled", "round_trips", "gross_pnl", "charges", "net_pnl"),
    *("starting_balance", "ending_balance", "max_drawdown", "refusals", "ledger_sha256"),
)
"""What every mode must compute alike."""
RUN_KEYS = {"mode", "source", "obi", "seconds", "ticks_per_second", "peak_memory_mb"}
FEED_KEYS = {"feed", "scans", "latency_us"}


class Outcome(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def numbers(self) -> dict[str, Any]:
        """The JSON object printed last."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def bare_environment(**more: str) -> dict[str, str]:
    """The environment without a user's own settings and tokens."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QUANT_", "UPSTOX_")) or name == "QUANT_KERNEL_CACHE"
    }
    return kept | more


def quant(
    *arguments: str | Path,
    cwd: Path,
    program: Sequence[str] = QUANT,
    within_s: float = 600,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a command to its end, in a folder without settings."""
    command = [*program, *map(str, arguments)]
    env = bare_environment(**(environment or {}))
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=within_s, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def replay(data: Path, home: Path, *more: str, program: Sequence[str] = QUANT) -> Outcome:
    """A file through the exchange's process, as fast as it goes."""
    return quant("up", *replay_of(data, home), *more, cwd=data.parent, program=program)


def replay_of(data: Path, home: Path) -> list[str]:
    source = ["--source", "replay", "--data", str(data), "--subscribe", "all"]
    return [*source, "--speed", "max", "--until-close", "--json", "--home", str(home)]


def backtest(data: Path, *more: str) -> dict[str, Any]:
    return quant("backtest", "--data", data, "--json", *more, cwd=data.parent).numbers


def by_the_rules(numbers: dict[str, Any]) -> dict[str, Any]:
    """Only what every mode must compute alike."""
    return {key: numbers[key] for key in RULE_KEYS}


# A platform that is stopped or killed on its way.


@contextlib.contextmanager
def started(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A platform on its way; ended with the block, however that ends."""
    command = [*QUANT, "up", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=bare_environment(**(environment or {})),
        stdout=subprocess.PIPE,
        stderr=(cwd / "stderr.txt").open("a"),
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(happened: Callable[[], object], process: subprocess.Popen[str], within_s: float = 120) -> bool:
    """Wait for something while the platform runs; False where it ended first."""
    deadline = time.monotonic() + within_s
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)
    return True


def exchange_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    """The simulated exchange that a platform started, once it has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            if "exchange" in child.cmdline():
                return child
    return None


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def killed_when(happened: Callable[[], bool], command: list[str], folder: Path, delay_s: float) -> psutil.Process:
    """Start the platform, kill it a little after something happened; its exchange is handed back."""
    with started(*command, cwd=folder) as process:
        assert wait_until(lambda: exchange_of(process) is not None, process)
        exchange = exchange_of(process)
        assert exchange is not None
        assert wait_until(happened, process), (folder / "stderr.txt").read_text()
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return exchange


def require_gone(exchanges: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 30
    while alive := [each for each in exchanges if not is_gone(each)]:
        assert time.monotonic() < deadline, f"without a platform, {alive} still run"
        time.sleep(0.05)


def killed_on_the_way(command: list[str], home: Path, orders: int, kills: int, seed: int) -> dict[str, Any]:
    """Kill the platform at seeded moments between a run's first and last order; returns the end's numbers."""
    chance, ledger = random.Random(seed), Ledger(home)
    exchanges = []
    for target in sorted(chance.sample(range(1, orders - 10), kills)):
        reached = lambda target=target: ledger.executed() >= target  # noqa: E731
        exchanges.append(killed_when(reached, command, home.parent, chance.random() * 0.05))
    require_gone(exchanges)
    return quant("up", *command, cwd=home.parent).numbers


# The ledger.


class Ledger:
    """A stored ledger, looked into from outside while a platform may be writing it.

    Args:
        home: the home folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "ledger.sqlite"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query; none before its tables are there."""
        if not self._path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def executed(self) -> int:
        """How many orders were executed so far."""
        found = self.rows("SELECT count(*) FROM executed_orders")
        return found[0][0] if found else 0

    def runs(self) -> list[tuple[str, str]]:
        """Id and state of every run, oldest first."""
        return self.rows("SELECT run_id, state FROM runs ORDER BY started_at")

    def require_balanced(self) -> None:
        """Every portfolio flat, its cash the start and all pnl, no order twice, and the audit chain whole."""
        with SqlLedger(self._path) as ledger:
            assert ledger.verify_audit() > 0
            assert ledger.positions() == []
            for portfolio in ledger.portfolios():
                numbers = ledger.run_summary(portfolio.last_run)
                orders = ledger.orders(run=portfolio.last_run)
                assert numbers.ending_balance == portfolio.balance == portfolio.equity
                assert portfolio.balance == numbers.starting_balance + sum(order.pnl for order in orders)
                assert len({order.order_id for order in orders}) == len(orders) == numbers.orders
                assert len({(o.decided_at, o.symbol, o.side) for o in orders}) == len(orders)
                sides = [order.side for order in orders if order.state == "filled"]
                assert sides.count("BUY") == sides.count("SELL") == numbers.round_trips


# Made-up markets.


def depth_file(path: Path, rows_a_session: int = 3000, seed: int = 3) -> Path:
    """Two sessions of four stocks that trend up and down, with five levels a side, some rows without any."""
    random = np.random.default_rng(seed)
    tables = [_depth_session(day, rows_a_session, random) for day in SESSIONS]
    pq.write_table(pa.concat_tables(tables), path)
    return path


def _depth_session(day: date, rows: int, random: np.random.Generator) -> pa.Table:
    opens = ns_at(day, clock_time(9, 14))
    step = 377 * NS_PER_MINUTE // rows // NS_PER_MS * NS_PER_MS
    ts = opens + np.arange(rows) * step
    ts[1::9] = ts[0::9][: ts[1::9].size]  # some rows share a stamp
    symbol = random.integers(0, len(SYMBOLS), rows)
    ltp = (_paths(rows, random)[symbol, np.arange(rows)] // 5) * 5
    volume = np.cumsum(random.integers(0, 50, rows))
    columns: dict[str, Any] = {
        "timestamp": _stamps(ts),
        "symbol": np.array(SYMBOLS)[symbol],
        "seq": np.arange(rows),
        "ltp": ltp / 100,
        "volume": volume,
        "atp": ltp / 100,
    }
    bare = np.arange(rows) % 13 == 0
    for level in range(5):
        for side, sign in (("bid", -1), ("ask", 1)):
            price = np.where(bare, 0, ltp + sign * 5 * (level + 1))
            columns[f"{side}_price_{level + 1}"] = price / 100
            columns[f"{side}_qty_{level + 1}"] = np.where(bare, 0, random.integers(1, 60, rows))
    return pa.table(columns)


def candle_file(path: Path, seed: int = 4) -> Path:
    """Two sessions of one-minute candles, rows in no order, some minutes missing."""
    random = np.random.default_rng(seed)
    rows = []
    for day in SESSIONS:
        paths = _paths(4 * 375, random)
        for number, name in enumerate(SYMBOLS):
            for minute in np.flatnonzero(random.random(375) > 0.05).tolist():
                four = paths[number, 4 * minute : 4 * minute + 4] / 100
                stamp = ns_at(day, clock_time(9, 15)) + minute * NS_PER_MINUTE
                volume = int(random.integers(0, 900))
                rows.append((stamp, name, four[0], four.max(), four.min(), four[3], volume))
    order = random.permutation(len(rows))
    columns = [list(column) for column in zip(*(rows[place] for place in order), strict=True)]
    names = ("symbol", "open", "high", "low", "close", "volume")
    pq.write_table(
        pa.table({"timestamp": _stamps(np.array(columns[0])), **dict(zip(names, columns[1:], strict=True))}), path
    )
    return path


def _paths(length: int, random: np.random.Generator) -> Any:
    """Prices in paise, one row a symbol: waves of some minutes with noise on them."""
    at = np.arange(length) / length
    waves = [
        (300 + 40 * number) * 100 * (1 + 0.01 * np.sin(2 * np.pi * (9 + 2 * number) * at + number))
        for number in range(len(SYMBOLS))
    ]
    noise = np.cumsum(random.normal(0, 4, (len(SYMBOLS), length)), axis=1)
    return np.rint(np.array(waves) + noise).astype(np.int64)


def _stamps(ts: Any) -> pa.Array:
    return pa.array(np.asarray(ts, np.int64), pa.int64()).cast(pa.timestamp("ns", tz="Asia/Kolkata"))


def with_one_price_changed(original: Path, copy: Path, paise: int = 700) -> Path:
    """A copy in which one price in mid-session is another."""
    table = pq.read_table(original)
    prices = table["ltp"].to_pylist()
    prices[len(prices) // 3] += paise / 100
    place = table.schema.get_field_index("ltp")
    pq.write_table(table.set_column(place, "ltp", pa.array(prices)), copy)
    return copy
