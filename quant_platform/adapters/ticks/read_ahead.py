"""The next item of a stream while its reader works on this one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterator[T], thread: str) -> Iterator[T]:
    """The items, each made in a thread of its own while the one before is worked on; memory holds two.

    Args:
        items: no item is None.
        thread: its name.

    Raises:
        Exception: what ``items`` raises, after the items before it.
    """
    with ThreadPoolExecutor(1, thread) as reader:
        upcoming = reader.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = reader.submit(next, items, None)
            yield item
