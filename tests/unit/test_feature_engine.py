"""How closed bars from history enter the features: warm-up starts a symbol anew, repair goes on."""

from collections.abc import Sequence

import numpy as np
import pytest

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_SECOND, BarBatch, empty_bars, empty_ticks
from quant_platform.services.feature_engine.engine import FeatureEngine

START = 1_741_578_300 * NS_PER_SECOND
"""2025-03-10 09:15 IST."""
Seen = tuple[float, int]
"""Minutes after the start, price in paise."""


def engine() -> FeatureEngine:
    return FeatureEngine(3, 4, depth=False)


def feed(core: FeatureEngine, seen: Sequence[Seen], symbol: int = 0) -> list[tuple[float, float, float]]:
    """RSI, SMA and OBI after each tick."""
    ticks = empty_ticks(len(seen), 0)
    ticks.ts[:] = [START + round(minute * 60) * NS_PER_SECOND for minute, _ in seen]
    ticks.ltp[:] = [price for _, price in seen]
    ticks.symbol[:] = symbol
    out = core.on_ticks(ticks)
    return list(zip(out.rsi.tolist(), out.sma.tolist(), out.obi.tolist(), strict=True))


def bars(*closes: Seen, symbol: int = 0) -> BarBatch:
    """Bars that fall by ten paise and close at their low."""
    batch = empty_bars(len(closes))
    batch.symbol[:] = symbol
    batch.ts[:] = [START + int(minute) * NS_PER_MINUTE for minute, _ in closes]
    batch.low[:] = batch.close[:] = [price for _, price in closes]
    batch.open[:] = batch.high[:] = batch.close + 10
    return batch


def as_ticks(*closes: Seen) -> list[Seen]:
    """The same minutes seen tick by tick."""
    return [tick for minute, price in closes for tick in ((minute, price + 10), (minute + 0.5, price))]


HISTORY = [(-5, 10_000), (-4, 10_020), (-3, 9_990), (-1, 10_050)]
LATER = [(0.0, 10_060), (0.5, 10_000), (1.0, 10_030), (7.0, 9_900)]


def test_a_warmed_symbol_goes_on_as_if_it_had_seen_the_ticks() -> None:
    warmed, watching = engine(), engine()
    warmed.on_bars(bars(*HISTORY), anew=True)
    feed(watching, as_ticks(*HISTORY))
    assert feed(warmed, LATER) == feed(watching, LATER)
    assert not np.isnan(feed(warmed, [(8.0, 9_900)])[0][:2]).any()


def test_warm_up_forgets_what_was_counted_before() -> None:
    warmed, fresh = engine(), engine()
    feed(warmed, [(-9.0 + n, 50_000 + 700 * n) for n in range(7)])
    warmed.on_bars(bars(*HISTORY), anew=True)
    fresh.on_bars(bars(*HISTORY), anew=True)
    assert feed(warmed, LATER) == feed(fresh, LATER)


def test_warm_up_touches_only_its_symbols() -> None:
    disturbed, alone = engine(), engine()
    for core in (disturbed, alone):
        feed(core, as_ticks(*HISTORY))
    disturbed.on_bars(bars(*HISTORY, symbol=5), anew=True)
    expected = feed(alone, LATER)
    assert feed(disturbed, LATER) == expected
    assert feed(disturbed, LATER, symbol=5) == expected


def test_repair_goes_on_and_replaces_the_minute_seen_in_part() -> None:
    repaired, watching = engine(), engine()
    feed(repaired, [*as_ticks(*HISTORY), (0.0, 10_500)])
    repaired.on_bars(bars((0, 10_070), (1, 10_080), (2, 10_040)), anew=False)
    feed(watching, as_ticks(*HISTORY, (0, 10_070), (1, 10_080), (2, 10_040)))
    after = [(3.0, 10_100), (4.0, 10_090)]
    assert feed(repaired, after) == feed(watching, after)


def test_repair_closes_a_running_bar_of_an_earlier_minute() -> None:
    repaired, watching = engine(), engine()
    feed(repaired, as_ticks(*HISTORY, (0, 10_070)))
    repaired.on_bars(bars((1, 10_080)), anew=False)
    feed(watching, as_ticks(*HISTORY, (0, 10_070), (1, 10_080)))
    assert feed(repaired, [(2.0, 10_100)]) == feed(watching, [(2.0, 10_100)])


def test_a_repair_of_minutes_already_closed_changes_nothing() -> None:
    repaired, watching = engine(), engine()
    for core in (repaired, watching):
        feed(core, as_ticks(*HISTORY, (0, 10_070)))
    repaired.on_bars(bars((-3, 1), (-2, 1), (-1, 1)), anew=False)
    assert feed(repaired, [(1.0, 10_100)]) == feed(watching, [(1.0, 10_100)])


def test_a_state_of_another_period_is_refused() -> None:
    with pytest.raises(LedgerError, match="sma_period"):
        FeatureEngine(3, 20, depth=False).restore(engine().snapshot())


def test_a_state_of_another_core_is_refused() -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        engine().restore(b"nothing")
