"""The strategies of the documents run as they stand there, and a broken strategy file is refused in one line."""

import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from quant_platform import cli
from quant_platform.hosts.strategies import load_strategy
from quant_platform.services.strategy_runtime.strategy import Context, FeatureRow, TickStrategy
from tests.integration.file_rig import STAMP, moment, write

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
SESSIONS = (date(2021, 4, 5), date(2021, 4, 6))
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:TCS")

FACTOR = """
import dataclasses
import numpy as np

class Rule:
    name = "rule"

    @dataclasses.dataclass(frozen=True)
    class Parameters:
        level: float = 1.0

    def __init__(self, parameters):
        self.parameters = parameters

    def signals(self, features):
        return {signals}

    def explain_entry(self, tick):
        return "in"

    def explain_exit(self, tick):
        return "out"
"""
GOOD_SIGNALS = "features.ltp > 0, features.ltp < 0"

STATEFUL = """
import dataclasses

class Rule:
    name = "rule"

    @dataclasses.dataclass(frozen=True)
    class Parameters:
        level: float = 1.0

    def __init__(self, parameters):
        self.parameters = parameters

    def on_tick(self, tick, context):
        return {answer}

    def snapshot(self):
        return b""

    def restore(self, state):
        return None
"""


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of two symbols whose prices swing around 500 rupees."""
    rows = []
    for day in SESSIONS:
        for number, symbol in enumerate(SYMBOLS):
            prices = np.round((500 + 15 * np.sin(np.arange(301) / 30 + number)) * 20) / 20
            for minute in range(300):
                opens, closes = float(prices[minute]), float(prices[minute + 1])
                stamp = moment(day, "09:15") + timedelta(minutes=minute)
                rows.append((stamp, symbol, opens, max(opens, closes), min(opens, closes), closes, 1000))
    names = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    table = table.set_column(0, "timestamp", table["timestamp"].cast(STAMP))
    return write(tmp_path_factory.mktemp("candles") / "swing.parquet", table)


def numbers_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert cli.run_command(["backtest", "--json", *map(str, arguments)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def reasons_in(report: Path) -> set[str]:
    with (report / "orders.csv").open(encoding="utf-8") as orders:
        return {row["reason"] for row in csv.DictReader(orders)}


@pytest.mark.parametrize(
    ("example", "why_bought", "why_sold"),
    [
        ("vwap_reversion.py", "below VWAP", "back at VWAP"),
        ("opening_range.py", "above the opening range", "target reached"),
    ],
)
def test_an_example_trades_for_its_own_reasons_however_the_data_is_cut(
    example: str,
    why_bought: str,
    why_sold: str,
    candles: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ("--data", candles, "--strategy", EXAMPLES / example)
    numbers = numbers_of(capsys, *run, "--report", tmp_path / "report")
    reasons = reasons_in(tmp_path / "report")
    assert numbers["round_trips"] >= 2
    assert any(why_bought in reason for reason in reasons), reasons
    assert why_sold in reasons
    for rows in (1, 97):
        assert numbers_of(capsys, *run, "--batch-size", str(rows))["ledger_sha256"] == numbers["ledger_sha256"]


@pytest.mark.parametrize("example", ["vwap_reversion.py", "opening_range.py"])
def test_the_document_shows_an_example_as_it_is(example: str) -> None:
    document = (EXAMPLES.parent / "strategies.md").read_text("utf-8")
    assert f"```python\n{(EXAMPLES / example).read_text('utf-8')}```" in document


@pytest.mark.parametrize(
    ("example", "parameter"), [("vwap_reversion.py", "discount_bps=100"), ("opening_range.py", "range_minutes=60")]
)
def test_a_parameter_of_an_example_changes_what_it_does(
    example: str, parameter: str, candles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("--data", candles, "--strategy", EXAMPLES / example)
    changed = numbers_of(capsys, *run, "--set", parameter)
    assert changed["ledger_sha256"] != numbers_of(capsys, *run)["ledger_sha256"]


def test_the_memory_of_the_stateful_example_survives_a_restart(candles: Path) -> None:
    opens = round(moment(SESSIONS[0], "09:15").timestamp()) * 10**9

    def tick(minute: int, ltp: float) -> FeatureRow:
        return FeatureRow(opens + minute * 60 * 10**9, 0, ltp, 0, *(float("nan"),) * 5, 0)

    flat = Context(0, float("nan"), False)
    first, _ = load_strategy(str(EXAMPLES / "opening_range.py"), {})
    assert isinstance(first, TickStrategy)
    assert first.on_tick(tick(0, 500.0), flat) is None
    again, _ = load_strategy(str(EXAMPLES / "opening_range.py"), {})
    assert isinstance(again, TickStrategy)
    again.restore(first.snapshot())
    wish = again.on_tick(tick(20, 501.0), flat)
    assert wish is not None
    assert wish == first.on_tick(tick(20, 501.0), flat)
    assert wish.buy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class Rule:\n    def signals(self", "fails on import: SyntaxError"),
        ("import no_such_module_anywhere", "fails on import: ModuleNotFoundError"),
        ("x = 1\n", "defines 0 classes"),
        (FACTOR.format(signals=GOOD_SIGNALS) + "\nclass Other(Rule):\n    pass\n", "defines 2 classes"),
        ("class Rule:\n    name = 'rule'\n    def signals(self, f): ...\n", "lacks Parameters, explain_entry"),
        ("class Rule:\n    name = 'rule'\n    def on_tick(self, t, c): ...\n", "lacks Parameters, snapshot, restore"),
        (FACTOR.format(signals="features.ltp, features.ltp"), "entry column that is not one boolean a tick"),
        (FACTOR.format(signals="features.ltp > 0, features.ltp[1:] < 0"), "exit column that is not one boolean"),
        (FACTOR.format(signals="features.ltp > 0"), "failed in signals: ValueError"),
        (FACTOR.format(signals="features.no_such_column > 0, None"), "failed in signals: AttributeError"),
        (FACTOR.format(signals=GOOD_SIGNALS).replace('return "in"', "return tick.no_such"), "failed in explain_entry"),
        (STATEFUL.format(answer="1 / 0"), "failed in on_tick: ZeroDivisionError"),
        (STATEFUL.format(answer="True"), "answered True to a tick"),
    ],
)
def test_a_broken_strategy_file_is_refused_in_one_line_with_exit_code_2(
    text: str, complaint: str, candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my_rule.py"
    path.write_text(text, encoding="utf-8")
    code = cli.run_command(["backtest", "--json", "--data", str(candles), "--strategy", str(path)])
    err = capsys.readouterr().err
    assert code == 2, err
    assert complaint in err
    assert len(err.strip().splitlines()) == 1, err
