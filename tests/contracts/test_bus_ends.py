"""What every bus keeps (``ports/bus.py``) when a reader ends before it began, in memory and on a real Kafka."""

import time

import pytest

from quant_platform.ports.bus import Bus
from tests.contracts.bus_rig import THINGS, take, values, write


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 1.0])
def test_a_reader_that_never_polled_can_be_closed(any_bus: Bus, after_s: float) -> None:
    reader = any_bus.group_reader("group", "one", THINGS.name)
    time.sleep(after_s)
    reader.close()
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(reader, 1)) == ["a"]
    reader.close()
