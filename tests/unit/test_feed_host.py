"""What the feed's side of a host does once a connection stands."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from quant_platform.hosts.feed_host import FeedHost


class Nobody:
    """Takes frames, and is asked nothing else before there are subscriptions."""

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """Drop it."""


@pytest.fixture
def host() -> Iterator[FeedHost]:
    nobody = cast("Any", Nobody())
    yield FeedHost(nobody, nobody, nobody, nobody, [])
    gc.unfreeze()


def test_the_collector_spares_what_the_start_made_once_frames_come(host: FeedHost) -> None:
    gc.unfreeze()
    asyncio.run(host.on_connected(None))
    spared = gc.get_freeze_count()
    assert spared > len(gc.get_objects())
    later = [[number] for number in range(1000)]
    asyncio.run(host.on_connected(None))
    assert gc.get_freeze_count() <= spared, "what was made later is collected as ever"
    assert later
