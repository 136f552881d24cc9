"""A real exchange process with history to download, and looks into what a download left."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform.domain.session import IST

from .platform_rig import QUANT, Outcome, bare_environment

DAYS = (date(2026, 6, 29), date(2026, 6, 30), date(2026, 7, 1), date(2026, 7, 2), date(2026, 7, 3))
TODAY = DAYS[-1]
"""The exchange's date: the days before it are history."""
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:ITC", "NSE_EQ:SBIN", "NSE_EQ:WIPRO")
REQUESTS = 2 * len(SYMBOLS)
"""Of a whole download: two months."""
MISSING_MINUTE = 200
TOKEN = "a-token-for-tests"
ASKED = ("--from", str(DAYS[0]), "--to", str(DAYS[-2]), "--json")
FOLDER = Path("user_data/objects/candles/interval=1m")


class Exchange(NamedTuple):
    """A running exchange and the candles that it replays."""

    url: str
    file: Path


def candle_file(path: Path) -> Path:
    """Sessions of four stocks that wander enough to be traded; each lacks a minute."""
    random = np.random.default_rng(11)
    rows = []
    for symbol in SYMBOLS:
        price = 100_000
        for day in DAYS:
            opens = datetime.combine(day, time(9, 15), IST)
            for minute in range(375):
                close = price + int(random.integers(-60, 61))
                low, high = min(price, close) - 10, max(price, close) + 10
                bar = (price / 100, high / 100, low / 100, close / 100, int(random.integers(4, 900)))
                if minute != MISSING_MINUTE:
                    rows.append((opens + timedelta(minutes=minute), symbol, *bar))
                price = close
    names = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    return path


@contextlib.contextmanager
def running_exchange(folder: Path) -> Iterator[Exchange]:
    """A process that replays made-up candles and has the days before the last one as history."""
    file = candle_file(folder / "candles.parquet")
    command = [*QUANT, "exchange", "--source", "replay", "--data", str(file), "--date", str(TODAY), "--speed", "max"]
    process = subprocess.Popen(
        [*command, "--exit-with-parent"],
        env=bare_environment(QUANT_EXCHANGE_TOKEN=TOKEN),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Exchange(json.loads(process.stdout.readline())["url"], file)
    finally:
        process.kill()
        process.communicate()


def run(exchange: Exchange, folder: Path, *arguments: str, **environment: str) -> Outcome:
    """``quant`` with these arguments, in a folder without settings."""
    given = {"UPSTOX_BASE_URL": exchange.url, "UPSTOX_ACCESS_TOKEN": TOKEN} | environment
    done = subprocess.run(
        [*QUANT, *arguments],
        cwd=folder,
        env=bare_environment(**given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def download(exchange: Exchange, folder: Path, *more: str, **environment: str) -> Outcome:
    return run(exchange, folder, "download", "--symbols", *SYMBOLS, *ASKED, *more, **environment)


def killed_at(place: str, exchange: Exchange, folder: Path, **environment: str) -> None:
    assert download(exchange, folder, QUANT_FAULT=place, **environment).code == -9


def rows_of(files: list[Path]) -> list[dict[str, Any]]:
    table = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
    return table.sort_by([("timestamp", "ascending"), ("symbol", "ascending")]).to_pylist()


def downloaded_rows(folder: Path) -> list[dict[str, Any]]:
    return rows_of(sorted((folder / FOLDER).glob("date=*/candles.parquet")))


def history_of(exchange: Exchange) -> list[dict[str, Any]]:
    return [row for row in rows_of([exchange.file]) if row["timestamp"].date() < TODAY]


def waiting_parts(folder: Path) -> int:
    return len(list((folder / "user_data/objects/incoming").rglob("*.msgpack")))
