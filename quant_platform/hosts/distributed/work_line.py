"""Work that one thread does piece by piece, in order, while others go on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class WorkLine:
    """A thread that does one work after the other, and none after one that failed.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._last: Future[Any] | None = None

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Have it done after all before; it fails as that did."""
        before = self._last

        def in_turn() -> T:
            if before is not None:
                before.result()
            return work()

        self._last = done = self._pool.submit(in_turn)
        return done

    def close(self) -> None:
        """Finish what is under way, and begin nothing more."""
        self._pool.shutdown(cancel_futures=True)
