"""Every bus there is, one after the other."""

import pytest

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.ports.bus import Bus
from tests.contracts.bus_rig import OTHERS, THINGS


@pytest.fixture(params=["memory", "kafka"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    """An empty bus with two topics."""
    made: Bus = MemoryBus() if request.param == "memory" else request.getfixturevalue("bus")
    made.ensure([THINGS, OTHERS])
    return made
