"""The merge of partitions: one order, however the partitions are read, and nothing lost where reading begins anew."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from quant_platform.services.strategy_runtime.merge import Merge

CLOCK = ""


class Item(NamedTuple):
    """A record of a partition, or a clock."""

    symbol: str  # CLOCK for a clock
    ts: int


Partition = Sequence[Item]


def feed(merge: Merge, number: int, offset: int, item: Item) -> None:
    if item.symbol == CLOCK:
        merge.add_clock(number, offset, item.ts)
    else:
        merge.add(number, offset, item.ts, item.symbol, (number, offset))


def read_in_pieces(
    partitions: Sequence[Partition], merge: Merge, read: dict[int, int], data: st.DataObject
) -> list[tuple[int, int]]:
    """What is let go while pieces of the partitions are read, in an order and to an end that Hypothesis chooses."""
    gone = []
    for number in data.draw(st.lists(st.sampled_from(sorted(read)), max_size=25)):
        for offset in range(read[number], min(len(partitions[number]), read[number] + 3)):
            feed(merge, number, offset, partitions[number][offset])
            read[number] = offset + 1
        gone += merge.release()
    return gone


def in_turn(partitions: Sequence[Partition], merge: Merge, start: Mapping[int, int]) -> list[tuple[int, int]]:
    """Everything that is let go where one partition is read wholly before the next."""
    for number, items in enumerate(partitions):
        for offset in range(start[number], len(items)):
            feed(merge, number, offset, items[offset])
    return merge.release()


@st.composite
def markets(draw: st.DrawFn) -> list[list[Item]]:
    """Partitions with symbols of their own, late stamps among them, and every clock in all of them."""
    clocks = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=6)))
    partitions = []
    for number in range(draw(st.integers(1, 4))):
        items: list[Item] = []
        for clock in clocks:
            stamps = draw(st.lists(st.integers(0, 70), max_size=5))
            items += [Item(f"{number}{draw(st.sampled_from('ab'))}", stamp) for stamp in stamps]
            items.append(Item(CLOCK, clock))
        partitions.append(items)
    return partitions


def beginning(market: Sequence[Partition]) -> dict[int, int]:
    return dict.fromkeys(range(len(market)), 0)


def undisturbed(market: Sequence[Partition]) -> list[tuple[int, int]]:
    return in_turn(market, Merge(beginning(market)), beginning(market))


@given(markets(), st.data())
def test_the_order_does_not_depend_on_how_partitions_are_read(market: list[list[Item]], data: st.DataObject) -> None:
    merge, read = Merge(beginning(market)), beginning(market)
    before = read_in_pieces(market, merge, read, data)
    assert before + in_turn(market, merge, read) == undisturbed(market)


@given(markets(), st.data())
def test_reading_begins_anew_anywhere_without_loss_or_repetition(market: list[list[Item]], data: st.DataObject) -> None:
    merge, read = Merge(beginning(market)), beginning(market)
    before = read_in_pieces(market, merge, read, data)
    again = Merge(merge.following, merge.watermark)  # as a new process does, from what was committed
    assert before + in_turn(market, again, merge.following) == undisturbed(market)


@given(markets(), st.integers(0, 5))
def test_a_partition_is_held_only_while_another_has_to_catch_up(market: list[list[Item]], most: int) -> None:
    merge, read = Merge(beginning(market)), beginning(market)
    gone: list[tuple[int, int]] = []
    while True:
        held = merge.far_ahead(most)
        able = [number for number in read if number not in held and read[number] < len(market[number])]
        if not able:
            break
        for number in able:
            feed(merge, number, read[number], market[number][read[number]])
            read[number] += 1
        gone += merge.release()
    assert gone == undisturbed(market)


def test_a_long_run_of_one_stamp_is_read_on_to_the_clock_that_lets_it_go() -> None:
    merge = Merge({0: 0, 1: 0})
    for offset in range(100):
        merge.add(0, offset, 5, "A", offset)
    merge.add_clock(1, 0, 9)
    assert merge.far_ahead(10) == set()
    merge.add(1, 1, 10, "B", 1)
    merge.add_clock(0, 100, 9)
    assert merge.release() == list(range(100))
