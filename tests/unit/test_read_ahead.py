"""Reading ahead: the next item is under way while one is worked on, and nothing else changes."""

import threading
from collections.abc import Iterator

import pytest

from quant_platform.adapters.ticks.read_ahead import read_ahead
from quant_platform.domain.errors import DataError

WITHIN_S = 30.0


def test_every_item_comes_in_order() -> None:
    assert list(read_ahead(iter(range(1, 100)), "numbers")) == list(range(1, 100))
    assert list(read_ahead(iter([0][:0]), "nothing")) == []


def test_the_next_item_is_made_while_one_is_worked_on_and_no_more() -> None:
    begun: list[int] = []
    second, third = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number, reached in ((1, threading.Event()), (2, second), (3, third)):
            begun.append(number)
            reached.set()
            yield number

    stream = read_ahead(items(), "items")
    assert next(stream) == 1
    assert second.wait(WITHIN_S)
    assert begun == [1, 2]
    assert next(stream) == 2
    assert third.wait(WITHIN_S)
    stream.close()


def test_a_fault_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("damaged", "mend it")

    stream = read_ahead(items(), "items")
    assert next(stream) == 1
    with pytest.raises(DataError, match="damaged"):
        next(stream)
    assert list(stream) == []
