"""A state cache whose trouble never becomes its user's: it is counted and shown, and what was lost is put again."""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple

import structlog

from quant_platform.domain.errors import ConfigurationError, QuantError
from quant_platform.ports.state_cache import CacheEntry, StateCache

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
SAY_AGAIN_S = 30.0
"""A cache that was restarted between two calls is empty and does not tell: lasting values are put this often."""

_log = structlog.get_logger(__name__)


class _Remembered(NamedTuple):
    entry: CacheEntry
    at: float


class ForgivingCache:
    """The cache behind it, minus its errors (:class:`~quant_platform.ports.state_cache.StateCache`).

    While that cache is away, lasting values are remembered and reads know nothing; a call tries it again when a pause
    of 0.5, 1, 2 … 10 s is over, and all others return at once. May be used by several threads.

    Args:
        cache: the real one, whose calls fail soon.
        now: seconds of any clock that only goes forward.
    """

    def __init__(self, cache: StateCache, now: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._now = now
        self._lock = Lock()  # of what follows; never held while the cache is asked
        self._remembered: dict[str, _Remembered] = {}
        self._trouble = ""
        self._failures = 0
        self._pause_s = 0.0
        self._away_until = self._say_again_at = now()

    @property
    def trouble(self) -> str:
        """Why the cache is away; empty while it works."""
        return self._trouble

    @property
    def failures(self) -> int:
        """How many calls the cache has failed since the start."""
        return self._failures

    def check(self) -> None:
        """Ask the cache once, at the start of a service, so that a wrong setting ends it there.

        Raises:
            ConfigurationError: the cache refuses us. One that is merely away is forgiven.
        """
        try:
            self._cache.get(["quant:check"])
        except ConfigurationError:
            raise
        except QuantError as error:
            self._failed(error)

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep values, now or (lasting ones) when the cache is back."""
        now = self._now()
        with self._lock:
            self._remembered.update({entry.key: _Remembered(entry, now) for entry in entries if entry.lasting})
        self._ask(lambda: self._cache.put([*self._to_say_again(), *entries]))

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys; None for what is not known, which is everything while the cache is away."""
        found: list[bytes | None] = [None] * len(keys)

        def look() -> None:
            if again := self._to_say_again():
                self._cache.put(again)
            found[:] = self._cache.get(keys)

        self._ask(look)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        """Forget these keys; a cache that is away keeps them until they outlive their time."""
        with self._lock:
            for key in keys:
                self._remembered.pop(key, None)
        self._ask(lambda: self._cache.delete(keys))

    def close(self) -> None:
        """Let go of the cache."""
        self._cache.close()

    def _ask(self, call: Callable[[], None]) -> None:
        if not self._may_ask():
            return
        try:
            call()
        except QuantError as error:
            self._failed(error)
        else:
            self._worked()

    def _may_ask(self) -> bool:
        """Whether the cache works, or it is this caller's turn to try it again."""
        with self._lock:
            now = self._now()
            if now < self._away_until:
                return False
            if self._trouble:
                self._away_until = now + self._pause_s  # the others need not try as well
            return True

    def _to_say_again(self) -> list[CacheEntry]:
        """Lasting values that still live, with the time they have left; none where they were said lately."""
        with self._lock:
            now = self._now()
            if not self._trouble and now < self._say_again_at:
                return []
            self._say_again_at = now + SAY_AGAIN_S
            aged = [(entry, int(entry.lives_s - (now - at))) for entry, at in self._remembered.values()]
            self._remembered = {entry.key: self._remembered[entry.key] for entry, left_s in aged if left_s > 0}
            return [entry._replace(lives_s=left_s) for entry, left_s in aged if left_s > 0]

    def _failed(self, error: QuantError) -> None:
        with self._lock:
            was_well = not self._trouble
            self._failures += 1
            self._trouble = str(error)
            self._pause_s = FIRST_PAUSE_S if was_well else min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._away_until = self._now() + self._pause_s
        if was_well:
            _log.warning("the cache is away; everything goes on without it", trouble=str(error))

    def _worked(self) -> None:
        with self._lock:
            was_away = bool(self._trouble)
            self._trouble = ""
            if was_away:
                self._away_until = self._now()  # everyone may ask again
        if was_away:
            _log.info("the cache is back", failures=self._failures)
