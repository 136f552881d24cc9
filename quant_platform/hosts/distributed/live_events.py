"""The steps of orders off the bus and to whoever listens to the API."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing

import structlog

from quant_platform.domain.errors import DataError, UnavailableError
from quant_platform.domain.records import OrderEvent, Reader
from quant_platform.domain.topics import ORDER_EVENTS
from quant_platform.hosts.distributed.intake import Intake, count_read
from quant_platform.hosts.health import Health
from quant_platform.hosts.process import Pauses
from quant_platform.ports.bus import Bus

MOST = 1000
WAIT_S = 0.2

_log = structlog.get_logger(__name__)


def follow_order_events(
    bus: Bus, health: Health, publish: Callable[[Sequence[OrderEvent]], None], stop: threading.Event
) -> None:
    """Hand on every step of an order that becomes durable from now on, until told to stop.

    While Kafka is away nothing is handed on, and what happened meanwhile is not made up for: a listener that needs all
    of it asks the ledger.

    Args:
        bus: Kafka.
        health: counts what was read.
        publish: takes the steps, those of one symbol in order.
        stop: ends it.
    """
    pauses = Pauses()
    while not stop.is_set():
        try:
            bus.ensure([ORDER_EVENTS])
            ends = bus.ends(ORDER_EVENTS.name)
            with closing(bus.writer()) as writer, closing(bus.reader(ORDER_EVENTS.name, ends)) as reader:
                intake = Intake({"": Reader(OrderEvent)}, writer, health)
                while not stop.is_set():
                    records = reader.poll(MOST, WAIT_S, 0.0)
                    if records:
                        pauses.begin_anew()
                        count_read(records, health)
                        publish([content for _, content in intake.read(records) if content is not None])
                        writer.flush()
        except (UnavailableError, DataError) as error:  # DataError: the topic was made anew
            pause = pauses.next()
            _log.warning("order events are not followed", reason=str(error), seconds=pause)
            stop.wait(pause)
