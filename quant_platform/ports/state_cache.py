"""A cache for look-ups: values under keys, all of which may be lost at any time."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class CacheEntry(NamedTuple):
    """One value to be kept."""

    key: str
    value: bytes
    lives_s: int  # seconds until it is forgotten
    lasting: bool = True  # stands until it is changed; False where another follows soon, as with quotes


class StateCache(Protocol):
    """Whatever is put may be gone at the next look; nothing that matters may stand here alone.

    Any call raises :class:`UnavailableError` soon where the cache cannot be reached now, and
    :class:`ConfigurationError` where it refuses us.
    """

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep values, all in one turn; each replaces what its key had."""
        ...

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys, all in one turn; None for what is not known."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Forget these keys."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
