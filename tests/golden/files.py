"""Made-up streams as the Parquet files of the contract, and a backtest over files as its JSON says."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_platform.hosts.options import BacktestOptions
from quant_platform.research import backtest

from .reference import Row

IST_STAMP = pa.timestamp("ns", tz="Asia/Kolkata")
MONEY = ("gross_pnl", "charges", "net_pnl", "starting_balance", "ending_balance", "max_drawdown")


def write_ticks(path: Path, rows: Sequence[Row], *, depth: bool) -> Path:
    """Rows as a file of ticks, prices in rupees."""
    columns: dict[str, Any] = {
        "timestamp": pa.array([row.ts for row in rows], pa.int64()).cast(IST_STAMP),
        "symbol": [row.symbol.removeprefix("NSE_EQ:") for row in rows],
        "ltp": [row.ltp / 100 for row in rows],
        "volume": [row.volume for row in rows],
        "atp": [row.atp for row in rows],
    }
    for side in ("bid", "ask") if depth else ():
        for level in range(5):
            levels = [(row.bids if side == "bid" else row.asks)[level] for row in rows]
            columns[f"{side}_price_{level + 1}"] = [price / 100 for price, _ in levels]
            columns[f"{side}_qty_{level + 1}"] = pa.array([quantity for _, quantity in levels], pa.int64())
    pq.write_table(pa.table(columns), path)
    return path


Candle = tuple[int, str, int, int, int, int, int]
"""Start in ns, symbol, open, high, low and close in paise, volume."""


def write_candles(path: Path, candles: Sequence[Candle]) -> Path:
    """One-minute candles as a file."""
    ts, symbol, *prices, volume = zip(*candles, strict=True)
    names = ("open", "high", "low", "close")
    columns: dict[str, Any] = {"timestamp": pa.array(ts, pa.int64()).cast(IST_STAMP), "symbol": symbol}
    columns |= {name: [price / 100 for price in column] for name, column in zip(names, prices, strict=True)}
    pq.write_table(pa.table(columns | {"volume": volume}), path)
    return path


def backtest_of(capsys: pytest.CaptureFixture[str], *paths: Path, **options: Any) -> dict[str, Any]:
    """What ``quant backtest --json`` prints of these files."""
    backtest.run(BacktestOptions(data=[str(path) for path in paths], json=True, **options))
    numbers: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return numbers


def in_paise(numbers: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """The numbers that ``like`` has, money in paise."""
    return {
        name: int((Decimal(str(numbers[name])) * 100).to_integral_exact()) if name in MONEY else numbers[name]
        for name in like
    }
