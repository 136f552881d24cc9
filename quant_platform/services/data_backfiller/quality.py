"""How good history is: each answer held against the exchange's calendar, and the findings added up."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import CalendarError
from quant_platform.domain.session import Session, WindowsNs, ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import BarBatch, empty_bars
from quant_platform.ports.broker import Candle
from quant_platform.ports.candle_store import CandleQuality, Gap
from quant_platform.services.data_backfiller.plan import Interval, Request

OUTLIER_BEYOND = 0.05
"""A price this far, as a fraction, from the bars before *and* after (at a date's ends: from the one side) is an
outlier; a step that stays is none."""
NEIGHBOURS = 5
"""Bars on each side whose median close is the measure; of fewer than three there is none."""

_FEWEST_NEIGHBOURS = 3
_PRICE_LIMIT = 2**31


class JudgedDay(NamedTuple):
    """What is kept of a symbol's date, and what was found."""

    bars: BarBatch  # oldest first; the symbol's number is 0
    quality: CandleQuality


def judge(interval: Interval, cas_eligible: bool, request: Request, candles: Iterable[Candle]) -> dict[date, JudgedDay]:
    """Sort an answer into the dates that were asked for, each with a session.

    A candle that belongs to none of the request's dates is told at the first of them, unless its date is complete
    already. Bars of the closing auction's time (15:15 to 15:29, as vendors make them) are neither missed nor amiss.

    Args:
        interval: of the candles.
        cas_eligible: whether the security takes part in the closing auction.
        request: what was asked.
        candles: what came, in any order.
    """
    by_day: dict[date, list[Candle]] = {day: [] for day in request.days}
    strays = []
    for candle in candles:
        day = ist_date(candle.ts)
        if day in by_day:
            by_day[day].append(candle)
        elif not (request.first <= day <= request.last and _has_session(day)):
            strays.append(candle.ts)
    judged = {}
    for day, found in by_day.items():
        session = session_on(day)
        assert session is not None, "only dates with a session are asked for"  # noqa: S101
        judged[day] = _judge_day(interval, session, cas_eligible, found, strays if day == request.first else ())
    return judged


def _has_session(day: date) -> bool:
    try:
        return session_on(day) is not None
    except CalendarError:  # its hours are not known
        return True


def _judge_day(
    interval: Interval, session: Session, cas_eligible: bool, found: Sequence[Candle], strays: Sequence[int]
) -> JudgedDay:
    last_told = {candle.ts: candle for candle in found}
    usable = {ts: candle for ts, candle in last_told.items() if _is_possible(candle)}
    kept = [usable[ts] for ts in sorted(usable)]
    wanted = _grid(interval, session, session.windows(cas_eligible))
    allowed = {*wanted, *_grid(interval, session, session.windows(False))}
    quality = CandleQuality(
        candles=len(kept),
        expected=len(wanted),
        gaps=_gaps(wanted, last_told),
        duplicates=_repeated(found),
        outliers=_outliers(kept),
        out_of_session=tuple(candle.ts for candle in kept if candle.ts not in allowed),
        impossible=tuple(sorted(last_told.keys() - usable.keys())),
        wrong_day=tuple(sorted(strays)),
    )
    return JudgedDay(_columns(kept), quality)


def _grid(interval: Interval, session: Session, windows: WindowsNs) -> list[int]:
    """Where bars of continuous trading start: counted from the open of each window, or the date itself."""
    if interval.length_ns is None:
        return [midnight_ns(session.day)]
    return [start for opens, closes in windows for start in range(opens, closes, interval.length_ns)]


def _is_possible(candle: Candle) -> bool:
    body_low, body_high = min(candle.open, candle.close), max(candle.open, candle.close)
    return 0 < candle.low <= body_low <= body_high <= candle.high < _PRICE_LIMIT and candle.volume >= 0


def _repeated(found: Sequence[Candle]) -> tuple[int, ...]:
    seen: set[int] = set()
    again: set[int] = set()
    for candle in found:
        (again if candle.ts in seen else seen).add(candle.ts)
    return tuple(sorted(again))


def _gaps(wanted: Sequence[int], there: Mapping[int, Candle]) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    follows_a_missing_one = False
    for start in wanted:
        missing = start not in there
        if missing and follows_a_missing_one:
            gaps[-1] = gaps[-1]._replace(bars=gaps[-1].bars + 1)
        elif missing:
            gaps.append(Gap(start, 1))
        follows_a_missing_one = missing
    return tuple(gaps)


def _outliers(candles: Sequence[Candle]) -> tuple[int, ...]:
    found = []
    for place, candle in enumerate(candles):
        sides = (candles[max(place - NEIGHBOURS, 0) : place], candles[place + 1 : place + 1 + NEIGHBOURS])
        measures = [median(bar.close for bar in side) for side in sides if len(side) >= _FEWEST_NEIGHBOURS]
        too_high = all(candle.high > measure * (1 + OUTLIER_BEYOND) for measure in measures)
        too_low = all(candle.low < measure * (1 - OUTLIER_BEYOND) for measure in measures)
        if measures and (too_high or too_low):
            found.append(candle.ts)
    return tuple(found)


def _columns(candles: Sequence[Candle]) -> BarBatch:
    bars = empty_bars(len(candles))
    for name in Candle._fields:
        getattr(bars, name)[:] = [getattr(candle, name) for candle in candles]
    return bars


def as_bars(days: Mapping[str, JudgedDay]) -> tuple[tuple[str, ...], BarBatch]:
    """Symbols of one date, at least one, as columns.

    Returns:
        The names of the numbers, and the bars by symbol, then start.
    """
    symbols = tuple(sorted(days))
    parts = [days[symbol].bars._replace(symbol=_numbers(number, days[symbol])) for number, symbol in enumerate(symbols)]
    return symbols, BarBatch._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _numbers(number: int, day: JudgedDay) -> NDArray[np.int32]:
    return np.full(day.bars.ts.size, number, np.int32)


class SymbolReport(NamedTuple):
    """What a download holds of one symbol."""

    symbol: str
    days: int  # complete ones
    days_without_candles: int
    candles: int
    gaps: int  # of dates with candles
    missing: int  # bars in those gaps
    duplicates: int
    outliers: int
    out_of_session: int
    impossible: int
    wrong_day: int


def report(symbols: Sequence[str], stored: Mapping[date, Mapping[str, CandleQuality]]) -> list[SymbolReport]:
    """The findings of all dates, added up by symbol, in the order of the symbols.

    A date without any candle counts as such, not as missing bars: the stock was not listed, or suspended.
    """
    lines = []
    for symbol in symbols:
        days = [qualities[symbol] for qualities in stored.values() if symbol in qualities]
        gaps = [gap for day in days if day.candles for gap in day.gaps]
        lines.append(
            SymbolReport(
                symbol,
                days=len(days),
                days_without_candles=sum(day.candles == 0 for day in days),
                candles=sum(day.candles for day in days),
                gaps=len(gaps),
                missing=sum(gap.bars for gap in gaps),
                duplicates=sum(len(day.duplicates) for day in days),
                outliers=sum(len(day.outliers) for day in days),
                out_of_session=sum(len(day.out_of_session) for day in days),
                impossible=sum(len(day.impossible) for day in days),
                wrong_day=sum(len(day.wrong_day) for day in days),
            )
        )
    return lines


class Finding(NamedTuple):
    """One thing that is amiss with a symbol's date."""

    day: date
    symbol: str
    kind: str  # no candles, gap, duplicate, outlier, out of session, impossible, wrong day
    start: int  # ns UTC, of the bar
    bars: int  # 1, or as many as a gap has


def findings(symbols: Sequence[str], stored: Mapping[date, Mapping[str, CandleQuality]]) -> list[Finding]:
    """Everything that was found, by date, then symbol in the order of the symbols."""
    found = []
    for day, qualities in sorted(stored.items()):
        for symbol in symbols:
            quality = qualities.get(symbol)
            if quality is None:
                continue
            gap_kind = "gap" if quality.candles else "no candles"
            found += [Finding(day, symbol, gap_kind, gap.start, gap.bars) for gap in quality.gaps]
            for kind in ("duplicates", "outliers", "out_of_session", "impossible", "wrong_day"):
                name = kind.removesuffix("s").replace("_", " ")
                found += [Finding(day, symbol, name, start, 1) for start in getattr(quality, kind)]
    return found
