"""What every bus keeps (``ports/bus.py``), in memory and on a real Kafka: groups, and transactions that move them."""

import random
import time
from collections.abc import Callable, Sequence

import pytest

from quant_platform.domain.errors import UnavailableError
from quant_platform.ports.bus import Bus, GroupReader, Record, Source
from tests.contracts.bus_rig import (
    ALL,
    OTHERS,
    PARTITIONS,
    THINGS,
    WITHIN_S,
    commit,
    following,
    stored,
    take,
    values,
    write,
)

# Groups.


def test_a_group_goes_on_after_its_last_commit(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    first = any_bus.group_reader("group", "one", THINGS.name)
    read = take(first, 2)
    commit(any_bus, first, following(read[0]))
    first.close()
    again = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(again, 2)) == ["b", "c"]
    again.close()
    other = any_bus.group_reader("another group", "one", THINGS.name)
    assert values(take(other, 3)) == ["a", "b", "c"]
    other.close()


def settled_behind(bus: Bus, wanted: int) -> int:
    """How far the group is behind, once that is so: Kafka shows the offsets of a transaction a moment after its end."""
    deadline = time.monotonic() + WITHIN_S
    while (behind := bus.behind("group", THINGS.name)) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return behind


def test_a_group_is_behind_by_what_it_has_not_committed_and_at_rest_by_nothing(any_bus: Bus) -> None:
    assert any_bus.behind("group", THINGS.name) == 0
    write(any_bus, *"abc")
    write(any_bus, "d", partition=1)
    assert any_bus.behind("group", THINGS.name) == 4
    reader = any_bus.group_reader("group", "one", THINGS.name)
    read = take(reader, 4)
    assert any_bus.behind("group", THINGS.name) == 4
    (second,) = (record for record in read if record.value == b"b")
    commit(any_bus, reader, following(second))
    assert settled_behind(any_bus, 2) == 2
    commit(any_bus, reader, reader.positions())
    assert settled_behind(any_bus, 0) == 0
    assert any_bus.behind("another group", THINGS.name) == 4
    reader.close()


def test_a_reader_is_told_its_partitions_before_their_records(any_bus: Bus) -> None:
    write(any_bus, "a")
    told: list[int] = []
    reader = any_bus.group_reader("group", "one", THINGS.name, told.extend)
    assert told == []
    (record,) = take(reader, 1)
    assert record.partition in told
    assert sorted(told) == list(ALL)
    reader.close()


def test_who_is_told_its_partitions_may_say_where_they_go_on(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    write(any_bus, *"de", partition=1)
    first = any_bus.group_reader("group", "one", THINGS.name)
    read = {record.value: record for record in take(first, 5)}
    commit(any_bus, first, following(read[b"a"]) | following(read[b"d"]))
    first.close()
    again = any_bus.group_reader("group", "one", THINGS.name, lambda partitions: {0: 2})
    assert sorted(values(take(again, 2))) == ["c", "e"]
    assert list(again.poll(1, 0.2)) == []
    again.close()


def polled_together(readers: Sequence[GroupReader], enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not enough():
        assert time.monotonic() < deadline, "the group did not settle"
        for reader in readers:
            reader.poll(100, 0.1)


def test_a_second_member_takes_its_share_and_leaves_it_when_it_goes(any_bus: Bus) -> None:
    shares: dict[str, set[int]] = {"one": set(), "two": set()}
    first = any_bus.group_reader("group", "one", THINGS.name, shares["one"].update)
    polled_together([first], lambda: shares["one"] == set(ALL))
    second = any_bus.group_reader("group", "two", THINGS.name, shares["two"].update)
    polled_together([first, second], lambda: bool(shares["two"]))
    assert shares["two"] < set(ALL)
    for partition in ALL:
        write(any_bus, f"{partition}", partition=partition)
    theirs: list[Record] = []
    ours: list[Record] = []
    deadline = time.monotonic() + WITHIN_S
    while len(ours) + len(theirs) < PARTITIONS and time.monotonic() < deadline:
        ours += first.poll(100, 0.2)
        theirs += second.poll(100, 0.2)
    assert sorted(values(ours + theirs)) == ["0", "1", "2"]
    assert {record.partition for record in theirs} == shares["two"]
    for reader, records in ((first, ours), (second, theirs)):  # what is not committed comes again with the next share
        commit(any_bus, reader, {key: offset for record in records for key, offset in following(record).items()})
    second.close()
    shares["one"].clear()
    polled_together([first], lambda: shares["one"] >= shares["two"])
    for partition in shares["two"]:
        write(any_bus, "later", partition=partition)
    assert values(take(first, len(shares["two"]))) == ["later"] * len(shares["two"])
    first.close()


def test_a_reader_whose_place_another_took_can_commit_no_more(any_bus: Bus) -> None:
    write(any_bus, "a", "b")
    old = any_bus.group_reader("group", "one", THINGS.name)
    (record, _) = take(old, 2)
    new = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(new, 2)) == ["a", "b"]
    with pytest.raises(UnavailableError):
        commit(any_bus, old, following(record))
    old.close()
    new.close()


# Transactions.


def test_a_writer_that_names_its_group_leaves_the_places_of_the_group_as_they_are(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    first, *_ = take(reader, 3)
    commit(any_bus, reader, following(first))
    assert settled_behind(any_bus, 2) == 2
    writer = any_bus.transactional_writer("writer", Source("group", THINGS.name))
    assert settled_behind(any_bus, 2) == 2
    writer.commit(reader, reader.positions())
    assert settled_behind(any_bus, 0) == 0
    writer.close()
    reader.close()


def test_a_writer_may_name_a_group_that_nobody_has_joined_yet(any_bus: Bus) -> None:
    write(any_bus, "a")
    any_bus.transactional_writer("writer", Source("group", THINGS.name)).close()
    reader = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(reader, 1)) == ["a"]
    reader.close()


def test_a_transaction_is_unseen_until_it_is_committed_and_moves_its_group_with_it(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    read = take(reader, 2)
    writer = any_bus.transactional_writer("writer")
    for record in read:
        writer.send(OTHERS.name, record.key, record.value.upper(), partition=0)
    writer.flush()
    others = any_bus.reader(OTHERS.name, ALL)
    assert not others.poll(10, 1.0)
    writer.commit(reader, following(read[-1]))
    assert stored(any_bus, OTHERS) == ["A", "B"]
    assert values(take(others, 2)) == ["A", "B"]
    others.close()
    writer.close()
    reader.close()
    again = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(again, 1)) == ["c"]
    again.close()


def test_what_a_closed_writer_left_open_is_never_seen_and_does_not_move_its_group(any_bus: Bus) -> None:
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    (record,) = take(reader, 1)
    writer = any_bus.transactional_writer("writer")
    writer.send(OTHERS.name, record.key, b"dropped", partition=0)
    writer.flush()
    writer.close()
    reader.close()
    again = any_bus.group_reader("group", "one", THINGS.name)
    assert take(again, 1) == [record]
    write(any_bus, "kept", topic=OTHERS)
    assert stored(any_bus, OTHERS) == ["kept"]
    again.close()


def test_a_second_writer_of_the_same_name_drops_what_the_first_left_open_and_fences_it(any_bus: Bus) -> None:
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    (record,) = take(reader, 1)
    first = any_bus.transactional_writer("writer")
    first.send(OTHERS.name, record.key, b"first", partition=0)
    first.flush()
    second = any_bus.transactional_writer("writer")
    second.send(OTHERS.name, record.key, b"second", partition=0)
    second.commit(reader, following(record))
    with pytest.raises(UnavailableError):
        first.commit(reader, following(record))
    first.close()
    assert stored(any_bus, OTHERS) == ["second"]
    second.close()
    reader.close()


def test_writers_of_different_names_do_not_fence_each_other(any_bus: Bus) -> None:
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    (record,) = take(reader, 1)
    writers = [any_bus.transactional_writer(name) for name in ("first", "second")]
    for number, writer in enumerate(writers):
        writer.send(OTHERS.name, record.key, str(number).encode(), partition=number)
    for writer in reversed(writers):
        writer.commit(reader, following(record))
        writer.close()
    assert sorted(stored(any_bus, OTHERS)) == ["0", "1"]
    reader.close()


def test_a_transaction_of_a_reader_that_lost_its_place_does_not_take_place(any_bus: Bus) -> None:
    write(any_bus, "a")
    old = any_bus.group_reader("group", "one", THINGS.name)
    (record,) = take(old, 1)
    writer = any_bus.transactional_writer("writer")
    writer.send(OTHERS.name, record.key, b"of the old", partition=0)
    new = any_bus.group_reader("group", "one", THINGS.name)
    take(new, 1)
    with pytest.raises(UnavailableError):
        writer.commit(old, following(record))
    writer.close()
    old.close()
    new.close()
    assert stored(any_bus, OTHERS) == []


def test_a_transaction_with_a_record_that_is_too_large_does_not_take_place(any_bus: Bus) -> None:
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    (record,) = take(reader, 1)
    writer = any_bus.transactional_writer("writer")
    writer.send(OTHERS.name, "key", b"small", partition=0)
    writer.send(OTHERS.name, "key", random.Random(1).randbytes(1_500_000), partition=0)
    with pytest.raises(UnavailableError):
        writer.commit(reader, following(record))
    writer.close()
    reader.close()
    assert stored(any_bus, OTHERS) == []
