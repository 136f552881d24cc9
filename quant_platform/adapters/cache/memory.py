"""A state cache in this process's memory (:class:`~quant_platform.ports.state_cache.StateCache`)."""

import time
from collections.abc import Callable, Sequence

from quant_platform.ports.state_cache import CacheEntry


class MemoryCache:
    """Values in a dictionary; may be used by several threads.

    Args:
        now: seconds of any clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, tuple[bytes, float]] = {}

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep values; each replaces what its key had."""
        now = self._now()
        self._kept.update({entry.key: (entry.value, now + entry.lives_s) for entry in entries})

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys; None for what is not known or has outlived its time."""
        now = self._now()
        found = [self._kept.get(key, (b"", now)) for key in keys]
        return [value if until > now else None for value, until in found]

    def delete(self, keys: Sequence[str]) -> None:
        """Forget these keys."""
        for key in keys:
            self._kept.pop(key, None)

    def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
