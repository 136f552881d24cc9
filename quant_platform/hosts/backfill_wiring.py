"""What a download stands on: the broker, its list of symbols, the store, QuestDB, and one download at a time."""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import structlog

from quant_platform.adapters.broker.simulator_control import SimulatorControl
from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.clock.system import SystemClock
from quant_platform.adapters.objects.candle_files import CandleFiles
from quant_platform.domain.errors import UsageError
from quant_platform.domain.instruments import Instrument, full_symbol, nifty_100
from quant_platform.domain.session import ist_date
from quant_platform.hosts.backfill import Backfill, Progress
from quant_platform.hosts.config import Settings
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.object_store import open_objects
from quant_platform.hosts.options import DownloadOptions
from quant_platform.ports.series_store import SeriesWriter
from quant_platform.protocol.upstox.paths import API_HOST
from quant_platform.services.data_backfiller.plan import ONE_MINUTE, Interval, Span, read_interval, span_of

_log = structlog.get_logger(__name__)


class Work(NamedTuple):
    """A download that can begin."""

    backfill: Backfill
    span: Span


@asynccontextmanager
async def opened(
    settings: Settings, options: DownloadOptions, on_progress: Callable[[Progress], None]
) -> AsyncIterator[Work]:
    """Everything for one download, let go of when the block ends.

    History and the list of symbols want no token; only a simulated exchange asks for its own, to tell its date.

    Args:
        settings: of the installation.
        options: what is to be downloaded.
        on_progress: see :class:`.Backfill`.

    Raises:
        UsageError: a symbol is not listed, or the dates or the interval cannot be had.
        CalendarError: the exchange calendar does not cover the dates.
        ConfigurationError: a setting of the store or of QuestDB is wrong or missing.
        SafetyError: another download runs.
        UnavailableError: the broker, the store or QuestDB cannot be reached now.
    """
    interval = read_interval(options.interval)
    today = await _today(settings)
    span = span_of(interval, options.first, options.last, today, settings.backfill.days)
    clock = SystemClock()
    broker = UpstoxRest(settings.upstox.base_url, lambda: _token(settings), clock)
    try:
        instruments = await _instruments(broker, settings, options.symbols)
        home = HomeFolder(options.home or settings.paths.home)
        with HomeLock(_lock_folder(settings, home)):
            store = CandleFiles(open_objects(settings, home), interval.name)
            series = _series(settings, interval)
            try:
                yield Work(Backfill(broker, clock, store, series, interval, instruments, on_progress), span)
            finally:
                if series is not None:
                    series.close()
    finally:
        await broker.close()


def _lock_folder(settings: Settings, home: HomeFolder) -> HomeFolder:
    """What this machine's downloads into one store take turns on; beside a bucket a home may be read-only."""
    wanted = settings.objects
    if wanted.endpoint_url is None:
        return home.download
    bucket = hashlib.sha256(f"{wanted.endpoint_url}/{wanted.bucket}".encode()).hexdigest()[:12]
    return HomeFolder(Path(tempfile.gettempdir()) / f"quant-download-{os.getuid()}-{bucket}")


def _token(settings: Settings) -> str:
    token = settings.upstox.access_token
    return token.get_secret_value() if token else ""


async def _today(settings: Settings) -> date:
    """The market's date."""
    if settings.upstox.base_url == API_HOST:
        return ist_date(SystemClock().now_ns())
    control = SimulatorControl(settings.upstox.base_url, lambda: _token(settings))
    try:
        return ist_date((await control.clock()).now_ns)
    finally:
        await control.close()


async def _instruments(broker: UpstoxRest, settings: Settings, asked: Sequence[str]) -> Mapping[str, Instrument]:
    """The symbols asked for, or those of the settings, as the broker lists them."""
    listed = {instrument.symbol: instrument for instrument in await broker.instruments()}
    named = asked or [
        full_symbol(name.strip().upper()) for name in settings.backfill.symbols.split(",") if name.strip()
    ]
    unknown = [symbol for symbol in named if symbol not in listed]
    if unknown:
        raise UsageError(
            f"Upstox lists no {', '.join(unknown)} among NSE's equities",
            "correct the spelling, or leave it out of --symbols (or of setting backfill.symbols)",
        )
    if named:
        return {symbol: listed[symbol] for symbol in named}
    found = {instrument.symbol: listed[instrument.symbol] for instrument in nifty_100() if instrument.symbol in listed}
    if not found:
        raise UsageError("the broker's list of instruments has none of the NIFTY 100", "name --symbols")
    if len(found) < len(nifty_100()):
        _log.info("the broker does not list all of the NIFTY 100", listed=len(found))
    return found


def _series(settings: Settings, interval: Interval) -> SeriesWriter | None:
    """QuestDB where its address was set; it has a table of one-minute candles only."""
    if interval != ONE_MINUTE or settings.source_of("questdb", "http_url") == "default":
        return None
    from quant_platform.hosts.distributed.series_connections import series_writer  # noqa: PLC0415 - pandas, where it is needed

    return series_writer(settings)
