"""``quant ticks`` over a stored day."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quant_platform import cli
from quant_platform.adapters.ticks.arrow import ArrowTickStore
from quant_platform.domain.ticks import EnrichedBatch, empty_ticks
from quant_platform.services.market_persistor.rows import stored_columns

DAY = date(2026, 7, 31)
OPENS = 1_785_469_500 * 10**9


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three ticks of one symbol, compacted."""
    ticks = empty_ticks(3, 0)
    ticks.ts[:] = OPENS + np.arange(3) * 10**9
    ticks.seq[:] = [1, 2, 3]
    ticks.ltp[:] = [100_00, 101_00, 102_50]
    ticks.volume[:] = [10, 20, 30]
    undefined = np.full(3, np.nan)
    batch = EnrichedBatch(
        ticks, undefined, undefined, undefined, undefined, undefined, np.zeros(3, np.uint8), np.zeros(3, np.bool_)
    )
    store = ArrowTickStore(tmp_path, stored_columns)
    store.append(DAY, batch, ["NSE_EQ:RELIANCE"])
    store.compact(DAY)
    return tmp_path


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert cli.run_command(["ticks", *arguments, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    return found


def test_without_a_query_it_tells_what_is_stored(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = rows(capsys, "--home", str(home))
    assert (found["symbol"], found["ticks"], found["last_price"], found["volume"]) == ("NSE_EQ:RELIANCE", 3, 102.5, 30)


def test_a_query_is_answered(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(capsys, "SELECT max(ltp) AS high FROM ticks", "--home", str(home)) == [{"high": 102.5}]


@pytest.mark.parametrize("query", ["DROP VIEW ticks", "SELECT nonsense FROM ticks", "SELECT 1; SELECT 2"])
def test_anything_but_one_good_select_exits_2(home: Path, query: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["ticks", query, "--home", str(home)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_home_without_ticks_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["ticks", "--home", str(tmp_path)]) == 2
    assert "quant up" in capsys.readouterr().err
