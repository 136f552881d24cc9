"""What the scanner picked, off the bus and into the ingestor's subscriptions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from quant_platform.domain.records import Reader
from quant_platform.domain.topics import SCANNER_SUGGESTIONS
from quant_platform.hosts.distributed.intake import Intake, count_read
from quant_platform.hosts.health import Health
from quant_platform.ports.bus import Bus

WAIT_S = 0.2


async def follow_suggestions(bus: Bus, health: Health, subscribe: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    """Hand every suggestion from now on to ``subscribe``, until cancelled.

    Raises:
        UnavailableError: the bus cannot be reached.
    """
    topic = SCANNER_SUGGESTIONS.name
    reader = bus.reader(topic, await asyncio.to_thread(bus.ends, topic))
    writer = bus.writer()
    intake = Intake({"": Reader(list[str])}, writer, health)
    try:
        while True:
            records = await asyncio.to_thread(reader.poll, 100, WAIT_S)
            count_read(records, health)
            for _, picks in intake.read(records):
                if picks is not None:
                    await subscribe(picks)
            await asyncio.to_thread(writer.flush)
    finally:
        writer.close()
        reader.close()
