"""The garbage collector of a service: it runs between two turns of the loop, never amid a batch.

A batch is some ten thousand young objects that all live until its end: collecting among them finds nothing, over and
over, and costs more than reading them. What a service leaves in cycles is little, and waits a few seconds.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 5.0


class Collector:
    """Collects now and then, when it is told that nothing is under way."""

    def __init__(self) -> None:
        self._collected_at = time.monotonic()

    def rest(self) -> None:
        """Nothing is under way: collect where the last time was long ago."""
        if time.monotonic() - self._collected_at >= EVERY_S:
            gc.collect()
            self._collected_at = time.monotonic()


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """For imports: what they bring stays for ever, and looking through it for garbage, then and later, is in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def collected_at_rest() -> Iterator[Collector]:
    """Let nothing but :meth:`Collector.rest` collect while the block lasts; what is there before is never looked at."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield Collector()
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
