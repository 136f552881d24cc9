"""A file through the exchange's process, protobuf and WebSocket gives what a backtest gives."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform_rig import (
    FEED_KEYS,
    RULE_KEYS,
    RUN_KEYS,
    Ledger,
    backtest,
    by_the_rules,
    candle_file,
    depth_file,
    replay,
    with_one_price_changed,
)

SERVED_ANOTHER_FILE = """
import sys
from quant_platform import cli
from quant_platform.hosts import wiring

told, served, *arguments = sys.argv[1:]
start = wiring.command_line
wiring.command_line = lambda *given: [served if word == told else word for word in start(*given)]
cli.main(arguments)
"""
"""``quant`` that is told one file, while the exchange that it starts is given another."""


def require_equal_to_a_backtest(data: Path, folder: Path, *more: str) -> dict[str, Any]:
    tested = backtest(data, *more)
    replayed = replay(data, folder / "home", *more).numbers
    assert set(tested) == {*RULE_KEYS, *RUN_KEYS}
    assert set(replayed) == {*RULE_KEYS, *RUN_KEYS, *FEED_KEYS}
    assert by_the_rules(replayed) == by_the_rules(tested)
    assert (tested["mode"], replayed["mode"]) == ("backtest", "embedded")
    assert (tested["source"], replayed["source"]) == ("files", "replay")
    assert tested["obi"] == replayed["obi"]
    assert tested["orders"] > 100
    feed = replayed["feed"]
    assert set(feed) == {"frames", "reconnects", "gaps"}
    assert (feed["reconnects"], feed["gaps"], replayed["scans"]) == (0, 0, 0)
    assert 0 < replayed["latency_us"]["p50"] <= replayed["latency_us"]["p99"]
    Ledger(folder / "home").require_balanced()
    return replayed


def test_depth_is_replayed_like_a_backtest(tmp_path: Path) -> None:
    assert require_equal_to_a_backtest(depth_file(tmp_path / "depth.parquet"), tmp_path)["obi"] == "depth"


def test_candles_are_replayed_like_a_backtest(tmp_path: Path) -> None:
    assert require_equal_to_a_backtest(candle_file(tmp_path / "candles.parquet"), tmp_path)["obi"] == "bar"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "capital"),
    [
        ("candles_1m_TCS_2025-01.parquet", "100000"),
        ("candles_1m_2021-03-30_2021-05-07.parquet", "20000"),
        ("ticks_depth_synthetic.parquet", "200000"),
    ],
)
def test_real_files_are_replayed_like_a_backtest(shared_data: Path, tmp_path: Path, file: str, capital: str) -> None:
    data = tmp_path / file
    data.symlink_to(shared_data / file)
    require_equal_to_a_backtest(data, tmp_path, "--capital", capital)


def test_the_platform_trades_what_the_exchange_serves_and_never_opens_the_file(tmp_path: Path) -> None:
    original = depth_file(tmp_path / "original.parquet")
    altered = with_one_price_changed(original, tmp_path / "altered.parquet")
    told = tmp_path / "told.parquet"
    told.write_text("nothing that a platform could trade")
    program = (sys.executable, "-c", SERVED_ANOTHER_FILE, str(told), str(altered))
    replayed = replay(told, tmp_path / "home", program=program).numbers
    assert by_the_rules(replayed) == by_the_rules(backtest(altered))
    assert replayed["ledger_sha256"] != backtest(original)["ledger_sha256"]
