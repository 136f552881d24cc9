"""The next items of a stream while its reader works on this one."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterator[T], thread: str, ahead: int = 1) -> Generator[T, None, None]:
    """The items, made in a thread of their own while earlier ones are worked on; memory holds ``ahead`` and one more.

    Args:
        items: no item is None.
        thread: its name.
        ahead: how many are made, or are being made, beside the one that is worked on.

    Raises:
        Exception: what ``items`` raises, after the items before it.
    """
    reader = ThreadPoolExecutor(1, thread)
    try:
        upcoming = deque(reader.submit(next, items, None) for _ in range(ahead))
        while (item := upcoming.popleft().result()) is not None:
            upcoming.append(reader.submit(next, items, None))
            yield item
    finally:
        reader.shutdown(cancel_futures=True)
