"""The cores against the second writing of the trading rules, over made-up streams that need no other data."""

from datetime import date, time
from functools import cache
from pathlib import Path
from random import Random

import pytest

from .files import Candle, backtest_of, in_paise, write_candles, write_ticks
from .made_up_market import CAS, some_rows, some_rules
from .our_cores import ledger_lines, parameters_of, run
from .reference import MINUTE, SECOND, Reference, Row, Rules, at

SEEDS = range(24)


def by_the_rules(rows: list[Row], rules: Rules, capital: int, *, depth: bool) -> Reference:
    reference = Reference(rules, capital, set(CAS), depth=depth)
    for row in rows:
        reference.row(row)
    reference.end_of_day()
    return reference


@cache
def case(seed: int) -> tuple[Rules, int, list[Row], Reference]:
    """A seed's rules, capital and stream, and what they come to; every third seed is without depth."""
    random = Random(seed)
    depth, late = seed % 3 > 0, seed % 2 == 0
    rules, capital = some_rules(random)
    rows = some_rows(random, depth=depth, late=late, pace_ms=random.choice((8_000, 20_000, 60_000)))
    return rules, capital, rows, by_the_rules(rows, rules, capital, depth=depth)


@pytest.mark.parametrize("seed", SEEDS)
def test_cores_give_every_number_of_the_reference(seed: int) -> None:
    rules, capital, rows, reference = case(seed)
    cores = run(rows, rules, capital, Random(seed), depth=reference.depth)
    _, fills, _, _ = cores.journal
    assert ledger_lines(fills) == reference.lines
    assert [f"{fill.ts}|{fill.symbol}" for fill in fills if fill.at_last_price] == reference.at_last_price
    assert cores.answer() == reference.answer()


def test_the_streams_visit_every_corner() -> None:
    """What the comparison above has not seen, it has not shown."""
    seen: set[str] = set()
    for reference in (case(seed)[-1] for seed in SEEDS):
        seen |= {name for name, count in reference.numbers.items() if count} | set(reference.refusals)
        seen |= {"at_last_price"} if reference.at_last_price else set()
    corners = {"late", "duplicates", "cancelled", "round_trips", "at_last_price"}
    refusals = {"price_above_budget", "max_positions", "insufficient_cash"}
    assert corners | refusals <= seen


@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize("batch_size", [1, 65_536])
def test_backtest_of_a_file_in_any_order_gives_the_reference_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], depth: bool, batch_size: int
) -> None:
    random = Random(f"file {depth}")
    rows = some_rows(random, depth=depth, late=False, pace_ms=20_000)
    random.shuffle(rows)
    path = write_ticks(tmp_path / "ticks.parquet", rows, depth=depth)
    rules = Rules(rsi_period=3, risk_per_trade_bps=3, latency_ms=0, slippage_bps=5, position_size_bps=3000)
    rows.sort(key=lambda row: (row.ts, row.symbol))
    expected = by_the_rules(rows, rules, 2_000_000, depth=depth).answer()
    numbers = backtest_of(capsys, path, parameters=parameters_of(rules), batch_size=batch_size)
    assert in_paise(numbers, expected) == expected
    assert numbers["obi"] == ("depth" if depth else "bar")
    assert numbers["round_trips"] > 10


def some_candles(random: Random, days: list[date], symbols: list[str]) -> list[Candle]:
    candles = []
    prices = dict.fromkeys(symbols, 50_000)
    for day in days:
        for minute in range(375):
            for symbol in symbols:
                if random.random() < 0.1:
                    continue
                opens = prices[symbol]
                closes = opens + 5 * random.randint(-12, 12)
                high, low = (f(opens, closes) + sign * 5 * random.randint(0, 6) for f, sign in ((max, 1), (min, -1)))
                prices[symbol] = closes
                start = at(day, time(9, 15)) + minute * MINUTE
                candles.append((start, symbol, opens, high, low, closes, random.randint(1, 5_000)))
    return candles


def ticks_of(candles: list[Candle]) -> list[Row]:
    """Candles as ticks, one candle after another."""
    rows = []
    total: dict[str, int] = {}
    for start, symbol, opens, high, low, closes, volume in candles:
        quarter = volume // 4
        middle = (low, high) if closes >= opens else (high, low)
        shares = (quarter, quarter, quarter, volume - 3 * quarter)
        for after, price, more in zip((0, 15, 30, 59), (opens, *middle, closes), shares, strict=True):
            total[symbol] = total.get(symbol, 0) + more
            rows.append(Row(start + after * SECOND, symbol, price, total[symbol]))
    return sorted(rows, key=lambda row: (row.ts, row.symbol))


def test_backtest_from_a_date_is_warmed_by_the_last_250_bars_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [date(2025, 3, 10), date(2025, 3, 11), date(2025, 3, 12)]
    symbols = ["NSE_EQ:AALPHA", "NSE_EQ:INFY"]
    candles = some_candles(Random("candles"), days, symbols)
    path = write_candles(tmp_path / "candles.parquet", candles)
    begins = at(days[2], time(0, 0))
    rules = Rules(rsi_period=20, position_size_bps=3000)
    reference = Reference(rules, 2_000_000, set(CAS), depth=False)
    for symbol in symbols:
        bars = [(c[3], c[4], c[5]) for c in candles if c[1] == symbol and c[0] < begins]
        reference.warm(symbol, bars[-250:])
    for row in ticks_of([candle for candle in candles if candle[0] >= begins]):
        reference.row(row)
    reference.end_of_day()
    expected = reference.answer()
    numbers = backtest_of(capsys, path, first=days[2], parameters=parameters_of(rules))
    assert in_paise(numbers, expected) == expected
    cold = by_the_rules(ticks_of([c for c in candles if c[0] >= begins]), rules, 2_000_000, depth=False)
    assert cold.answer() != expected
