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


def test_as_many_items_are_made_ahead_as_were_asked_for_and_none_after_the_end() -> None:
    begun: list[int] = []
    third, sixth = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in range(1, 10):
            begun.append(number)
            if number == 3:
                third.set()
            elif number == 6:
                sixth.set()
            yield number

    stream = read_ahead(items(), "items", 2)
    assert next(stream) == 1
    assert third.wait(WITHIN_S)
    assert begun == [1, 2, 3]
    assert [next(stream), next(stream), next(stream)] == [2, 3, 4]
    assert sixth.wait(WITHIN_S)
    stream.close()
    assert begun == [1, 2, 3, 4, 5, 6]


def test_a_fault_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("damaged", "mend it")

    stream = read_ahead(items(), "items")
    assert next(stream) == 1
    with pytest.raises(DataError, match="damaged"):
        next(stream)
    assert list(stream) == []
