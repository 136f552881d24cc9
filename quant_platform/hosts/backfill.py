"""Download history: what is missing is asked for, kept as it comes, and saved date by date."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.domain.errors import BrokerError, RateLimitError, UsageError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.ticks import BarBatch
from quant_platform.hosts.faults import fault_point
from quant_platform.hosts.tasks import in_thread
from quant_platform.ports.broker import Candle
from quant_platform.ports.candle_store import CandleQuality, CandleStore, FetchedPart
from quant_platform.ports.clock import Clock
from quant_platform.ports.series_store import CANDLES_1M, SeriesWriter
from quant_platform.protocol.upstox import codes
from quant_platform.services.data_backfiller.plan import Interval, Request, Span, plan, trading_days
from quant_platform.services.data_backfiller.quality import (
    Finding,
    JudgedDay,
    SymbolReport,
    as_bars,
    findings,
    judge,
    report,
)
from quant_platform.services.data_backfiller.rows import candle_rows

REQUESTS_AT_ONCE = 4
"""The broker's limits are reached with so many; more would only stand in line."""

RATE_LIMIT_PAUSE_S = 30.0
"""Where the broker still refuses after the client's own pauses: its limits count up to half an hour."""

KEY_CODES = frozenset({codes.INVALID_KEY, codes.CANDLE_KEY_FORMAT})
"""Refusals that are the symbol's fault."""

_log = structlog.get_logger(__name__)


class Progress(NamedTuple):
    """How far a download is."""

    span: Span  # what is fetched now
    requests: int  # of the whole download
    answered: int  # of those, kept by an earlier run or by this one


class Downloaded(NamedTuple):
    """What a download did and what there is now."""

    span: Span
    requests: int  # made by this run
    days_saved: int  # by this run
    unknown_days: Sequence[date]  # left out: the calendar does not know their hours
    report: Sequence[SymbolReport]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Backfill:
    """Everything that a download works with.

    Attributes:
        broker: who is asked.
        clock: what its rate limit is waited on.
        store: where candles go.
        series: where one-minute candles go as well, before a date counts as complete; None for nowhere.
        interval: of the candles.
        instruments: whose candles are wanted, by symbol.
        on_progress: told after every answer.
    """

    broker: UpstoxRest
    clock: Clock
    store: CandleStore
    series: SeriesWriter | None
    interval: Interval
    instruments: Mapping[str, Instrument]
    on_progress: Callable[[Progress], None]

    async def run(self, span: Span) -> Downloaded:
        """Bring what is missing of a span; after a kill at any moment the next run asks for the rest only.

        Raises:
            UsageError: the broker refuses the history of a symbol.
            BrokerError: it refuses us.
            UnavailableError: the broker, the store or QuestDB cannot be reached or written now.
        """
        symbols = list(self.instruments)
        days = trading_days(span)
        stored = await in_thread(self.store.stored, span.first, span.last)
        await in_thread(self._catch_up, stored)
        batches = plan(self.interval, symbols, days.known, stored)
        wanted = [request for batch in batches for request in batch.requests]
        kept = await self._kept(span, wanted)
        answered = made = saved = 0
        for batch in batches:
            parts = {request: kept[request] for request in batch.requests if request in kept}
            answered += len(parts)
            self.on_progress(Progress(batch.span, len(wanted), answered))
            for group in _groups([request for request in batch.requests if request not in parts]):
                parts |= await self._fetch(group)
                made += len(group)
                answered += len(group)
                self.on_progress(Progress(batch.span, len(wanted), answered))
            saved += await in_thread(self._save, parts)
        if batches:
            stored = await in_thread(self.store.stored, span.first, span.last)
        return Downloaded(span, made, saved, days.unknown, report(symbols, stored), findings(symbols, stored))

    def _catch_up(self, stored: Mapping[date, Mapping[str, CandleQuality]]) -> None:
        """Bring into the series what was downloaded when there was none."""
        if self.series is None:
            return
        for day, qualities in stored.items():
            wanted = {name: qualities[name] for name in self.instruments if name in qualities}
            missing = {name: quality for name, quality in wanted.items() if not quality.in_series}
            if missing:
                self._write(day, *self.store.load(day, missing), missing)

    async def _kept(self, span: Span, wanted: Sequence[Request]) -> dict[Request, FetchedPart]:
        """Answers of earlier runs that serve. Those that a kill left behind after their dates were saved go."""
        parts = await in_thread(self.store.parts)
        kept = {request: part for request in wanted if (part := _covering(parts, request)) is not None}
        served = set(kept.values())
        ours = [part for part in parts if part.symbol in self.instruments]
        inside = [part for part in ours if span.first <= part.first and part.last <= span.last]
        await in_thread(self.store.drop, [part for part in inside if part not in served])
        return kept

    async def _fetch(self, group: Sequence[Request]) -> dict[Request, FetchedPart]:
        """Ask for all at once. What was answered is kept even where one of them fails."""
        answers = await asyncio.gather(*map(self._ask, group), return_exceptions=True)
        parts: dict[Request, FetchedPart] = {}
        for request, answer in zip(group, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            parts[request] = answer
        return parts

    async def _ask(self, request: Request) -> FetchedPart:
        instrument = self.instruments[request.symbol]
        try:
            candles = await self._answer(instrument, request)
        except BrokerError as error:
            if error.code not in KEY_CODES:
                raise
            raise UsageError(
                f"Upstox refuses the history of {request.symbol} under the key {instrument.instrument_key}",
                "leave it out of --symbols",
            ) from None
        part = FetchedPart(request.symbol, request.first, request.last)
        await in_thread(self.store.keep, part, candles)
        fault_point("part kept")
        return part

    async def _answer(self, instrument: Instrument, request: Request) -> list[Candle]:
        """What the broker has; its rate limit is waited for, however long it lasts."""
        unit, multiple = self.interval
        while True:
            try:
                return await self.broker.candles(instrument, unit, multiple, request.first, request.last)
            except RateLimitError as error:
                _log.warning("waiting for the broker's rate limit", seconds=RATE_LIMIT_PAUSE_S, reason=error.what)
            await self.clock.sleep(RATE_LIMIT_PAUSE_S)

    def _save(self, parts: Mapping[Request, FetchedPart]) -> int:
        """Make every date of answers complete; returns how many there are."""
        by_day: dict[date, dict[str, JudgedDay]] = defaultdict(dict)
        for request, part in parts.items():
            eligible = self.instruments[request.symbol].cas_eligible
            # What is no wrong day depends on what was asked, which may have been more than is still missing.
            asked = request._replace(first=part.first, last=part.last)
            for day, judged in judge(self.interval, eligible, asked, self.store.take(part)).items():
                by_day[day][request.symbol] = judged
        for day, symbols in sorted(by_day.items()):
            names, bars = as_bars(symbols)
            self._write(day, names, bars, {symbol: judged.quality for symbol, judged in symbols.items()})
            fault_point("date saved")
        self.store.drop(list(parts.values()))
        return len(by_day)

    def _write(self, day: date, names: Sequence[str], bars: BarBatch, quality: Mapping[str, CandleQuality]) -> None:
        """Into the series first: a date that counts as complete is complete there too."""
        if self.series is not None:
            self.series.append(CANDLES_1M, candle_rows(names, bars))
            self.series.flush()
            quality = {symbol: replace(each, in_series=True) for symbol, each in quality.items()}
        fault_point("series flushed")
        self.store.save(day, names, bars, quality)


def _covering(parts: Sequence[FetchedPart], request: Request) -> FetchedPart | None:
    """An answer of an earlier run that holds all of a request."""
    for part in parts:
        if part.symbol == request.symbol and part.first <= request.first and request.last <= part.last:
            return part
    return None


def _groups(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    for start in range(0, len(requests), REQUESTS_AT_ONCE):
        yield requests[start : start + REQUESTS_AT_ONCE]
