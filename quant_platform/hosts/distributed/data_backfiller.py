"""data_backfiller as a service: fills what is missing of the configured history once, and ends."""

import asyncio
import time

import structlog

from quant_platform.domain.errors import RateLimitError, UnavailableError
from quant_platform.hosts.backfill import Downloaded, Progress
from quant_platform.hosts.backfill_wiring import opened
from quant_platform.hosts.config import Settings
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import DownloadOptions, ServiceOptions
from quant_platform.hosts.process import Backoff
from quant_platform.hosts.tasks import failing_together, until_stopped

TURN_EVERY_S = 5.0

_log = structlog.get_logger(__name__)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Download what the settings name until all of it is there, or SIGTERM; the next start goes on.

    Raises:
        QuantError: any but :class:`UnavailableError` and :class:`RateLimitError`, which are waited on.
    """
    download = DownloadOptions(config=options.config)

    async def work(_: asyncio.Event) -> None:
        async with failing_together([asyncio.create_task(_keep_turning(health))]):
            _tell(await _until_done(settings, download, health))

    asyncio.run(until_stopped(work))


async def _until_done(settings: Settings, options: DownloadOptions, health: Health) -> Downloaded:
    wanted = health.gauge("quant_backfill_requests", "Requests of this download")
    answered = health.gauge("quant_backfill_answered", "Of these, those that are answered")

    def on_progress(progress: Progress) -> None:
        health.working()
        wanted.set(progress.requests)
        answered.set(progress.answered)

    backoff = Backoff(health)
    while True:
        began = time.monotonic()
        try:
            async with opened(settings, options, on_progress) as work:
                return await work.backfill.run(work.span)
        except (UnavailableError, RateLimitError) as error:
            reason = UnavailableError(error.what, error.cure)
            await asyncio.sleep(backoff.pause_after(reason, time.monotonic() - began))


async def _keep_turning(health: Health) -> None:
    """A wait for the broker's rate limit may last half an hour, and is no sign of being stuck."""
    while True:
        health.turned()
        await asyncio.sleep(TURN_EVERY_S)


def _tell(downloaded: Downloaded) -> None:
    """The report of quality, as lines of the log."""
    for line in downloaded.report:
        _log.info("history", **line._asdict())
    for found in downloaded.findings:
        about = {"date": str(found.day), "symbol": found.symbol, "kind": found.kind, "bars": found.bars}
        _log.warning("amiss", start=found.start, **about)
    first, last = downloaded.span
    _log.info(
        "downloaded",
        first=str(first),
        last=str(last),
        requests=downloaded.requests,
        dates=downloaded.days_saved,
        left_out=[str(day) for day in downloaded.unknown_days],
    )
