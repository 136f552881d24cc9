"""What the scanner picked, off the bus and into the ingestor's subscriptions."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing

import structlog

from quant_platform.domain.errors import DataError
from quant_platform.domain.records import Reader
from quant_platform.domain.topics import SCANNER_SUGGESTIONS
from quant_platform.hosts.distributed.intake import Intake, count_read
from quant_platform.hosts.health import Health
from quant_platform.hosts.tasks import in_thread
from quant_platform.ports.bus import Bus

WAIT_S = 0.2

_log = structlog.get_logger(__name__)


async def follow_suggestions(
    bus: Bus,
    health: Health,
    start: int,
    subscribe: Callable[[Sequence[str]], Awaitable[None]],
    done: Callable[[int], None],
) -> None:
    """Hand every suggestion on, until cancelled.

    Args:
        bus: Kafka.
        health: of this process.
        start: offset of the first one; where it was deleted meanwhile, the oldest there is.
        subscribe: takes the symbols.
        done: told the offset from which a restart may go on.

    Raises:
        UnavailableError: the bus cannot be reached.
    """
    with closing(bus.writer()) as writer, ExitStack() as opened:
        intake = Intake({"": Reader(list[str])}, writer, health)
        reader = opened.enter_context(closing(bus.reader(SCANNER_SUGGESTIONS.name, {0: start})))
        while True:
            try:
                records = await in_thread(reader.poll, 100, WAIT_S)
            except DataError as error:
                _log.warning("suggestions were deleted before they were read", reason=error.what)
                opened.close()
                reader = opened.enter_context(closing(bus.reader(SCANNER_SUGGESTIONS.name, {0: 0})))
                continue
            count_read(records, health)
            for _, picks in intake.read(records):
                if picks is not None:
                    await subscribe(picks)
            if records:
                await in_thread(writer.flush)
                done(records[-1].offset + 1)
