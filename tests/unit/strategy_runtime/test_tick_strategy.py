"""A strategy with a state of its own: asked tick by tick, the same however cut, and resumed."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from quant_platform.domain.errors import StrategyError
from quant_platform.services.strategy_runtime.strategy import Context, Decision, FeatureRow

from .rig import Rig, T

SYMBOLS = {"A": False, "B": True}


class ThreeRises:
    """Buys after three rises of a symbol in a row; sells after as many falls as it has sold before, plus one."""

    name = "three-rises"

    @dataclass(frozen=True)
    class Parameters:
        """None."""

    parameters = Parameters()

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.runs: dict[str, int] = {}
        self.sales = 0
        self.seen: list[Context] = []

    def on_tick(self, tick: FeatureRow, context: Context) -> Decision | None:
        self.seen.append(context)
        key = str(tick.symbol)
        change = tick.ltp - self.last.get(key, tick.ltp)
        run = self.runs.get(key, 0)
        self.runs[key] = run if change == 0 else max(run, 0) + 1 if change > 0 else min(run, 0) - 1
        self.last[key] = tick.ltp
        if context.quantity and self.runs[key] < -self.sales % 3:
            self.sales += 1
            return Decision(False, f"sale {self.sales}, average {context.average_price:.2f}")
        return Decision(True, "three rises") if self.runs[key] >= 3 else None

    def snapshot(self) -> bytes:
        return json.dumps([self.last, self.runs, self.sales]).encode()

    def restore(self, state: bytes) -> None:
        self.last, self.runs, self.sales = json.loads(state)


def zigzag() -> list[T]:
    random = Random(7)
    prices = {"A": 10_000, "B": 5_000}
    ticks = []
    for second in range(1500):
        symbol = random.choice(["A", "B"])
        prices[symbol] += random.choice((-5, 0, 5, 10, -10))
        at = f"{10 + second // 3600}:{second // 60 % 60:02d}:{second % 60:02d}"
        ticks.append(T(at, prices[symbol], "", symbol))
    return ticks


def journal_of(rig: Rig) -> list[list[Any]]:
    story = rig.runtime.journal.story
    return [list(rows) for rows in (story.orders, story.fills, story.ends, story.refusals, story.equity)]


@pytest.mark.parametrize("size", [1, 7, 250])
def test_any_cut_of_the_stream_gives_the_same_rows(size: int) -> None:
    ticks = zigzag()
    whole = Rig(symbols=SYMBOLS, strategy=ThreeRises()).play(*ticks).clock("15:30:00")
    pieces = Rig(symbols=SYMBOLS, strategy=ThreeRises())
    for start in range(0, len(ticks), size):
        pieces.play(*ticks[start : start + size])
    pieces.clock("15:30:00")
    assert journal_of(pieces) == journal_of(whole)
    assert len(whole.trades) > 50


@pytest.mark.parametrize("place", [1, 400, 777, 1499])
def test_it_resumes_from_a_snapshot_with_what_it_remembered(place: int) -> None:
    ticks = zigzag()
    whole = Rig(symbols=SYMBOLS, strategy=ThreeRises()).play(*ticks)
    first = Rig(symbols=SYMBOLS, strategy=ThreeRises()).play(*ticks[:place])
    second = Rig(symbols=SYMBOLS, strategy=ThreeRises())
    second.runtime.restore(first.runtime.snapshot())
    second.play(*ticks[place:])
    joined = [[*before, *after] for before, after in zip(journal_of(first), journal_of(second), strict=True)]
    assert joined == journal_of(whole)


def test_it_is_told_its_holding_and_whether_an_order_pends() -> None:
    strategy = ThreeRises()
    rig = Rig(strategy=strategy, latency_ms=1000)
    rig.play(*(T(f"10:00:0{n}", 10_000 + 5 * n) for n in range(6)))
    quantities = [context.quantity for context in strategy.seen]
    assert quantities == [0, 0, 0, 0, 19, 19]
    assert [context.pending for context in strategy.seen] == [False] * 6
    assert strategy.seen[4].average_price == pytest.approx(100.20)
    rig.play(T("10:00:06", 10_000), T("10:00:06.500", 10_000))
    assert strategy.seen[-1].pending


def test_its_own_words_are_the_reasons() -> None:
    rig = Rig(symbols=SYMBOLS, strategy=ThreeRises()).play(*zigzag()[:200])
    reasons = {fill.reason for fill in rig.runtime.journal.story.fills}
    assert "three rises" in reasons
    assert any(reason.startswith("sale 1, average ") for reason in reasons)


def test_rows_not_fed_are_not_asked_about() -> None:
    strategy = ThreeRises()
    Rig(strategy=strategy).play(T("10:00:00", 10_000), T("10:00:01", 10_000, in_session=False), T("10:00:02", 10_000))
    assert len(strategy.seen) == 2


class SaysYes(ThreeRises):
    def on_tick(self, tick: FeatureRow, context: Context) -> Any:
        return True


def test_an_answer_that_is_no_decision_is_refused() -> None:
    with pytest.raises(StrategyError, match="answered True to a tick"):
        Rig(strategy=SaysYes()).play(T("10:00:00", 10_000))
