"""A state cache in this process's memory (:class:`~quant_platform.ports.state_cache.StateCache`)."""

import time
from collections.abc import Sequence

from quant_platform.ports.state_cache import CacheEntry


class MemoryCache:
    """Values in a dictionary; may be used by several threads."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, float]] = {}

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep values; each replaces what its key had."""
        now = time.monotonic()
        self._kept.update({entry.key: (entry.value, now + entry.lives_s) for entry in entries})

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys; None for what is not known or has outlived its time."""
        now = time.monotonic()
        found = [self._kept.get(key, (b"", now)) for key in keys]
        return [value if until > now else None for value, until in found]

    def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
