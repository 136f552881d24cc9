"""``quant download`` against a real exchange process: what it brings, killed anywhere, and what it refuses."""

import json
import subprocess
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_platform.domain.session import IST

from .platform_rig import QUANT, Outcome, backtest, bare_environment, by_the_rules

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


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    file = candle_file(tmp_path_factory.mktemp("market") / "candles.parquet")
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


def test_a_download_is_the_exchanges_history_and_says_what_is_missing(exchange: Exchange, tmp_path: Path) -> None:
    numbers = download(exchange, tmp_path).numbers
    assert downloaded_rows(tmp_path) == history_of(exchange)
    assert (numbers["requests"], numbers["dates_written"]) == (REQUESTS, 4)
    assert numbers["total"]["candles"] == 4 * 4 * 374
    assert (numbers["total"]["gaps"], numbers["total"]["missing"]) == (16, 16)
    assert numbers["findings"][0] == {
        "day": str(DAYS[0]),
        "symbol": SYMBOLS[0],
        "kind": "gap",
        "start": f"{DAYS[0]}T12:35:00+05:30",
        "bars": 1,
    }
    assert waiting_parts(tmp_path) == 0


def test_a_backtest_over_a_download_is_one_over_the_same_bars(exchange: Exchange, tmp_path: Path) -> None:
    assert download(exchange, tmp_path).code == 0
    ours = backtest(tmp_path / FOLDER)
    theirs = backtest(exchange.file, "--to", str(DAYS[-2]))
    assert ours["fills"] > 0
    assert by_the_rules(ours) == by_the_rules(theirs)


def test_a_second_download_asks_for_nothing_and_changes_nothing(exchange: Exchange, tmp_path: Path) -> None:
    first = download(exchange, tmp_path).numbers
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).rglob("*.*")}
    second = download(exchange, tmp_path).numbers
    assert (second["requests"], second["dates_written"]) == (0, 0)
    assert (second["symbols"], second["findings"]) == (first["symbols"], first["findings"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).rglob("*.*")} == before


def test_a_wider_download_asks_only_for_what_is_new(exchange: Exchange, tmp_path: Path) -> None:
    few = ("download", "--symbols", SYMBOLS[0], "--from", str(DAYS[1]), "--to", str(DAYS[-2]), "--json")
    assert run(exchange, tmp_path, *few).numbers["requests"] == 2
    assert download(exchange, tmp_path).numbers["requests"] == REQUESTS - 1  # July of the first is there
    assert downloaded_rows(tmp_path) == history_of(exchange)


@pytest.mark.parametrize(
    ("place", "complete"),
    [
        ("part kept:1", 0),
        ("part kept:4", 0),
        ("part kept:6", 4),
        ("series flushed:1", 0),
        ("date saved:1", 0),
        ("date saved:2", 0),  # the parts of the first month are left, though its dates are complete
        ("date saved:3", 4),
    ],
)
def test_after_a_kill_only_the_rest_is_asked_for(exchange: Exchange, tmp_path: Path, place: str, complete: int) -> None:
    killed_at(place, exchange, tmp_path)
    kept = waiting_parts(tmp_path)
    assert download(exchange, tmp_path).numbers["requests"] == REQUESTS - complete - kept
    assert downloaded_rows(tmp_path) == history_of(exchange)
    assert waiting_parts(tmp_path) == 0


def test_a_download_that_is_killed_after_every_answer_comes_to_its_end(exchange: Exchange, tmp_path: Path) -> None:
    for _ in range(REQUESTS):
        if download(exchange, tmp_path, QUANT_FAULT="part kept:1").code == 0:
            break
    assert download(exchange, tmp_path).numbers["requests"] == 0
    assert downloaded_rows(tmp_path) == history_of(exchange)
