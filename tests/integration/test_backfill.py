"""A download against a broker that misbehaves: limits, refusals, doubled and misplaced candles."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.objects.candle_files import CandleFiles
from quant_platform.adapters.objects.obstore import Objects
from quant_platform.domain.errors import AuthenticationError, UnavailableError, UsageError
from quant_platform.domain.instruments import instrument_for
from quant_platform.domain.session import IST
from quant_platform.hosts.backfill import RATE_LIMIT_PAUSE_S, Backfill, Progress
from quant_platform.protocol.upstox import codes, paths
from quant_platform.services.data_backfiller.plan import ONE_MINUTE, Span

from .scripted_broker import ScriptedBroker, SteppingClock, data, error, with_client

SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:TCS")
FIRST, LAST = date(2026, 3, 25), date(2026, 3, 27)
"""With a holiday in between."""
SPAN = Span(FIRST, LAST)

Body = Callable[[ScriptedBroker, Backfill, SteppingClock], Coroutine[Any, Any, None]]


def rows(*days: date, price: float = 100.0) -> list[list[object]]:
    """What the broker tells of these days: newest first."""
    starts = [datetime.combine(day, time(9, 15), IST) + timedelta(minutes=m) for day in days for m in range(375)]
    return [[start.isoformat(), price, price, price, price, 10, 0] for start in reversed(starts)]


def candles(*more: list[object]) -> Response:
    return data({"candles": [*more, *rows(FIRST, LAST)]})


def with_backfill(folder: Path, body: Body, progress: list[Progress] | None = None) -> None:
    async def run(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        store = CandleFiles(Objects.in_folder(folder), "1m")
        told = [] if progress is None else progress
        instruments = {symbol: instrument_for(symbol) for symbol in SYMBOLS}
        await body(broker, Backfill(rest, clock, store, None, ONE_MINUTE, instruments, told.append), clock)

    with_client(run)


def test_progress_is_told_from_the_first_to_the_last_request(tmp_path: Path) -> None:
    async def body(broker: ScriptedBroker, backfill: Backfill, _: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, candles())
        assert (await backfill.run(SPAN)).requests == 2

    told: list[Progress] = []
    with_backfill(tmp_path, body, told)
    assert [(progress.answered, progress.requests) for progress in told] == [(0, 2), (2, 2)]


def test_a_rate_limit_is_waited_for_visibly_however_long_it_lasts(tmp_path: Path) -> None:
    limited = error(codes.RATE_LIMIT, 429)

    async def body(broker: ScriptedBroker, backfill: Backfill, clock: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, *[limited] * 30, candles())
        with capture_logs() as logs:
            downloaded = await backfill.run(SPAN)
        assert [line.candles for line in downloaded.report] == [750, 750]
        waits = [line for line in logs if line["event"] == "waiting for the broker's rate limit"]
        assert waits
        assert all(line["log_level"] == "warning" and line["seconds"] == RATE_LIMIT_PAUSE_S for line in waits)
        assert RATE_LIMIT_PAUSE_S in clock.slept

    with_backfill(tmp_path, body)


def test_a_broker_that_names_a_long_pause_is_left_alone_for_so_long(tmp_path: Path) -> None:
    async def body(broker: ScriptedBroker, backfill: Backfill, clock: SteppingClock) -> None:
        began = clock.now_ns()
        broker.answer(paths.HISTORY_V3, error(codes.RATE_LIMIT, 429, **{"Retry-After": "900"}), candles())
        assert (await backfill.run(SPAN)).requests == 2
        assert clock.now_ns() - began >= 840 * 10**9

    with_backfill(tmp_path, body)


def test_a_dead_token_ends_the_download_with_its_cure(tmp_path: Path) -> None:
    async def body(broker: ScriptedBroker, backfill: Backfill, _: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, error(codes.INVALID_TOKEN, 401))
        with pytest.raises(AuthenticationError, match=r"has expired \[UDAPI100050, HTTP 401\] — run `quant login`"):
            await backfill.run(SPAN)

    with_backfill(tmp_path, body)


def test_a_symbol_that_the_broker_refuses_is_named_and_what_the_others_brought_is_kept(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        refused = instrument_for(SYMBOLS[1]).instrument_key
        return error(codes.INVALID_KEY, 400) if refused in request.url.path else candles()

    async def body(broker: ScriptedBroker, backfill: Backfill, _: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, answer)
        with pytest.raises(UsageError, match=f"refuses the history of {SYMBOLS[1]} .*leave it out"):
            await backfill.run(SPAN)
        assert [part.symbol for part in backfill.store.parts()] == [SYMBOLS[0]]

    with_backfill(tmp_path, body)


def test_a_broker_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    async def body(broker: ScriptedBroker, backfill: Backfill, clock: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, Response(status_code=503))
        with pytest.raises(UnavailableError, match="HTTP 503"):
            await backfill.run(SPAN)
        assert clock.slept

    with_backfill(tmp_path, body)


def test_what_is_amiss_with_the_brokers_candles_is_told_and_kept_out_of_the_files(tmp_path: Path) -> None:
    doubled = rows(FIRST)[0]
    of_a_holiday = rows(date(2026, 3, 26))[0]
    impossible = [rows(LAST)[0][0], 100.0, 90.0, 100.0, 100.0, 10, 0]

    async def body(broker: ScriptedBroker, backfill: Backfill, _: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, candles(doubled, of_a_holiday, impossible))
        downloaded = await backfill.run(SPAN)
        told = [(found.day, found.kind) for found in downloaded.findings if found.symbol == SYMBOLS[0]]
        assert told == [(FIRST, "duplicate"), (FIRST, "wrong day"), (LAST, "duplicate")]
        again = await backfill.run(SPAN)
        assert again.findings == downloaded.findings
        assert [line.candles for line in again.report] == [750, 750]
        assert len(broker.requests) == 2

    with_backfill(tmp_path, body)


def test_a_cancelled_download_goes_on_where_it_was(tmp_path: Path) -> None:
    async def body(broker: ScriptedBroker, backfill: Backfill, _: SteppingClock) -> None:
        held = asyncio.Event()

        def answer(request: Request) -> Response:
            if len(broker.requests) == 2:
                held.set()
            return error(codes.RATE_LIMIT, 429) if len(broker.requests) >= 2 else candles()

        broker.answer(paths.HISTORY_V3, answer)
        task = asyncio.create_task(backfill.run(SPAN))
        await held.wait()
        while not backfill.store.parts():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        broker.answer(paths.HISTORY_V3, candles())
        assert (await backfill.run(SPAN)).requests == 1

    with_backfill(tmp_path, body)
