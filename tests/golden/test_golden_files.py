"""The known answers on real market data: every number, whatever the batch size, with the compiler and without."""

import json
import os
import subprocess
import sys
from datetime import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from quant_platform.domain.money import paise_from_rupees
from tests.conftest import SHARED_DATA

from .files import backtest_of
from .reference import MINUTE, at, ist_day

ANSWERS = SHARED_DATA / "golden.json"
ENTRIES: list[dict[str, Any]] = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else []
DEPTH = "ticks_depth_synthetic.parquet"
TCS = "candles_1m_TCS_2025-01.parquet"
PROGRAM = "from quant_platform.cli import main; main()"


def name_of(entry: dict[str, Any]) -> str:
    changed = ",".join(f"{name}={value}" for name, value in entry["set"].items())
    return f"{entry['file'].removesuffix('.parquet')} {changed}".rstrip()


def options_of(entry: dict[str, Any]) -> dict[str, Any]:
    parameters = {name: str(value) for name, value in entry["set"].items()}
    return {"capital": paise_from_rupees(entry["capital"]), "parameters": parameters}


def slice_of(shared_data: Path, target: Path, minutes: int, symbols: list[str]) -> Path:
    """The first minutes of the depth file's last session, which closes in an auction; a few symbols."""
    table = pq.read_table(shared_data / DEPTH, filters=[("symbol", "in", symbols)])
    stamps = pc.cast(pc.cast(table["timestamp"], pa.timestamp("ns", tz="UTC")), "int64")
    nine = at(ist_day(pc.max(stamps).as_py()), time(9, 0))
    until = nine + minutes * MINUTE
    table = table.filter(pc.and_(pc.greater_equal(stamps, nine), pc.less(stamps, until)))
    pq.write_table(table, target)
    return target


def symbols_in(path: Path) -> list[str]:
    return sorted(pc.unique(pq.read_table(path, columns=["symbol"])["symbol"]).to_pylist())


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_known_file_gives_every_known_number(
    shared_data: Path, capsys: pytest.CaptureFixture[str], entry: dict[str, Any]
) -> None:
    numbers = backtest_of(capsys, shared_data / entry["file"], **options_of(entry))
    assert {name: numbers[name] for name in entry["expect"]} == entry["expect"]


@pytest.mark.parametrize("batch_size", [1, 7, 4096])
def test_candles_cut_otherwise_give_the_known_ledger(
    shared_data: Path, capsys: pytest.CaptureFixture[str], batch_size: int
) -> None:
    entry = next(entry for entry in ENTRIES if entry["file"] == TCS)
    numbers = backtest_of(capsys, shared_data / TCS, batch_size=batch_size, **options_of(entry))
    assert numbers["ledger_sha256"] == entry["expect"]["ledger_sha256"]


@pytest.mark.parametrize("batch_size", [7, 4096])
def test_depth_cut_otherwise_gives_the_known_ledger(
    shared_data: Path, capsys: pytest.CaptureFixture[str], batch_size: int
) -> None:
    entry = next(entry for entry in ENTRIES if entry["file"] == DEPTH)
    numbers = backtest_of(capsys, shared_data / DEPTH, batch_size=batch_size, **options_of(entry))
    assert numbers["ledger_sha256"] == entry["expect"]["ledger_sha256"]


def test_depth_tick_by_tick_gives_the_ledger_of_whole_batches(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = symbols_in(shared_data / DEPTH)[:4]
    path = slice_of(shared_data, tmp_path / "morning.parquet", 90, names)
    hashes = {backtest_of(capsys, path, batch_size=size)["ledger_sha256"] for size in (1, 65_536)}
    assert len(hashes) == 1


def test_plain_python_gives_the_ledger_of_compiled_kernels(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = symbols_in(shared_data / DEPTH)[:2]
    path = slice_of(shared_data, tmp_path / "morning.parquet", 40, names)
    compiled = backtest_of(capsys, path, parameters={"rsi_period": "5"})
    plain = subprocess.run(
        [sys.executable, "-c", PROGRAM, "backtest", "--data", str(path), "--set", "rsi_period=5", "--json"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    numbers = json.loads(plain.stdout.splitlines()[-1])
    timing = {"seconds", "ticks_per_second", "peak_memory_mb"}
    assert compiled["round_trips"] > 3
    assert {k: v for k, v in numbers.items() if k not in timing} == {
        k: v for k, v in compiled.items() if k not in timing
    }
