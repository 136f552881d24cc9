"""What every bus keeps (``ports/bus.py``), in memory and on a real Kafka: topics, writing, reading, what is refused."""

import random
from collections.abc import Callable
from itertools import groupby

import pytest

from quant_platform.domain.errors import DataError, RefusedRecordError, UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.ports.bus import Bus, Record, RecordWriter
from tests.contracts.bus_rig import ALL, OTHERS, PARTITIONS, THINGS, stored, take, values, write

# Topics.


def test_a_topic_that_is_there_is_left_as_it_is(any_bus: Bus) -> None:
    write(any_bus, "kept")
    any_bus.ensure([THINGS._replace(partitions=7), OTHERS])
    assert any_bus.partitions(THINGS.name) == PARTITIONS
    assert stored(any_bus) == ["kept"]


def test_a_topic_comes_with_one_for_its_dead_letters_unless_it_keeps_state(any_bus: Bus) -> None:
    any_bus.ensure([Topic("state", compacted=True)])
    assert any_bus.partitions(THINGS.dead.name) == 1
    with pytest.raises(UnavailableError, match=r"state\.dead"):
        any_bus.partitions("state.dead")


def test_a_topic_without_a_number_of_partitions_gets_as_many_as_the_bus_is_told(any_bus: Bus) -> None:
    any_bus.ensure([Topic("free")])
    assert any_bus.partitions("free") == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda bus: bus.partitions("nowhere"),
        lambda bus: bus.ends("nowhere"),
        lambda bus: take(bus.reader("nowhere", {0: 0}), 1),
        lambda bus: take(bus.group_reader("group", "one", "nowhere"), 1),
    ],
)
def test_a_topic_that_is_not_there_is_named(any_bus: Bus, ask: Callable[[Bus], object]) -> None:
    with pytest.raises(UnavailableError, match="topic nowhere is not there yet"):
        ask(any_bus)


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        ({0: 0, PARTITIONS + 2: 0}, "topic things has 3 partitions, and reading goes on in number 5"),
        ({1: 7}, "topic things has no record at the place where reading goes on in partition 1"),
    ],
)
def test_a_place_that_a_topic_has_not_is_refused_instead_of_read_from_elsewhere(
    any_bus: Bus, start: dict[int, int], complaint: str
) -> None:
    write(any_bus, "a", partition=1)
    reader = any_bus.reader(THINGS.name, start)
    with pytest.raises(DataError, match=complaint):
        take(reader, 1)
    reader.close()


# Writing and reading.


def test_a_record_comes_out_as_it_went_in(any_bus: Bus) -> None:
    writer = any_bus.writer()
    writer.send(THINGS.name, "NSE_EQ:M&M", b'{"price": "\xe2\x82\xb9"}', "tick", 1)
    writer.send(THINGS.name, "", b"", partition=1)
    writer.flush()
    writer.close()
    reader = any_bus.reader(THINGS.name, {1: 0})
    full, empty = take(reader, 2)
    reader.close()
    assert full == Record(THINGS.name, 1, full.offset, "tick", 1, "NSE_EQ:M&M", b'{"price": "\xe2\x82\xb9"}')
    assert (empty.kind, empty.schema, empty.key, empty.value) == ("", 1, "", b"")


def test_every_key_keeps_its_order_and_its_partition(any_bus: Bus) -> None:
    writer = any_bus.writer()
    for number in range(300):
        writer.send(THINGS.name, f"symbol {number % 10}", str(number).encode())
    writer.flush()
    writer.close()
    reader = any_bus.reader(THINGS.name, ALL)
    records = take(reader, 300)
    reader.close()
    by_key = groupby(sorted(records, key=lambda record: record.key), key=lambda record: record.key)
    keys = {key: list(group) for key, group in by_key}
    assert len(keys) == 10
    for group in keys.values():
        numbers = [int(record.value) for record in group]
        assert numbers == sorted(numbers)
        assert len({record.partition for record in group}) == 1
    assert len({record.partition for record in records}) > 1


def test_offsets_grow_and_a_reader_goes_on_from_any_of_them(any_bus: Bus) -> None:
    write(any_bus, *"abcde", partition=2)
    reader = any_bus.reader(THINGS.name, {2: 0})
    records = take(reader, 5)
    reader.close()
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    later = any_bus.reader(THINGS.name, {2: records[2].offset + 1})
    assert values(take(later, 2)) == ["d", "e"]
    later.close()


def test_the_end_of_a_partition_is_where_its_next_record_goes(any_bus: Bus) -> None:
    write(any_bus, "a", "b", partition=1)
    ends = any_bus.ends(THINGS.name)
    assert set(ends) == set(ALL)
    write(any_bus, "next", partition=1)
    reader = any_bus.reader(THINGS.name, ends)
    (record,) = take(reader, 1)
    reader.close()
    assert (record.value, record.offset) == (b"next", ends[1])


def test_a_poll_gives_no_more_than_it_was_asked_for(any_bus: Bus) -> None:
    write(any_bus, *map(str, range(50)))
    reader = any_bus.reader(THINGS.name, ALL)
    found: list[Record] = []
    while len(found) < 50:
        some = reader.poll(7, 0.5)
        assert len(some) <= 7
        found += some
    reader.close()
    assert values(found) == [str(number) for number in range(50)]


def test_a_held_partition_is_not_read_until_it_is_let_go_and_loses_nothing(any_bus: Bus) -> None:
    write(any_bus, "a1", "a2", partition=0)
    write(any_bus, "b1", partition=1)
    reader = any_bus.reader(THINGS.name, ALL)
    reader.hold({0})
    assert values(take(reader, 1)) == ["b1"]
    assert not reader.poll(10, 0.5)
    reader.hold(frozenset())
    assert values(take(reader, 2)) == ["a1", "a2"]
    reader.close()


def test_lag_is_what_a_reader_has_not_read(any_bus: Bus) -> None:
    write(any_bus, *"abcd")
    reader = any_bus.reader(THINGS.name, {0: 0})
    take(reader, 1)
    assert reader.lag() == 3
    take(reader, 3)
    assert reader.lag() == 0
    reader.close()


def test_history_ends_where_the_partitions_end_now(any_bus: Bus) -> None:
    assert stored(any_bus) == []
    write(any_bus, *"abc", partition=0)
    write(any_bus, *"de", partition=2)
    found = list(any_bus.history(THINGS.name, ALL))
    assert [record.value for record in found if record.partition == 0] == [b"a", b"b", b"c"]
    assert [record.value for record in found if record.partition == 2] == [b"d", b"e"]
    second = next(record for record in found if record.value == b"b")
    assert values(list(any_bus.history(THINGS.name, {0: second.offset, 1: 0}))) == ["b", "c"]


# Records that cannot be written or read.


def test_a_record_that_is_too_large_is_refused_with_its_size_and_topic(any_bus: Bus) -> None:
    writer = any_bus.writer()
    large = random.Random(1).randbytes(1_500_000)
    writer.send(THINGS.name, "key", large)
    for _ in range(2):  # no call after it makes that good
        with pytest.raises(RefusedRecordError, match=r"1500000 bytes .* topic things"):
            writer.flush()
    writer.close()
    assert stored(any_bus) == []


def test_a_partition_that_the_topic_has_not_is_refused(any_bus: Bus) -> None:
    writer = any_bus.writer()
    with pytest.raises(UnavailableError, match="things"):
        send_and_flush(writer, partition=PARTITIONS)
    writer.close()
    assert stored(any_bus) == []


def send_and_flush(writer: RecordWriter, partition: int) -> None:
    """Kafka's client refuses the partition at once where it knows the topic already, else when it learns of it."""
    writer.send(THINGS.name, "key", b"lost", partition=partition)
    writer.flush()


def test_a_record_for_a_topic_that_is_not_there_waits_and_is_written_once_there_is_one(any_bus: Bus) -> None:
    writer = any_bus.writer()
    writer.send("later", "key", b"early")
    with pytest.raises(UnavailableError):
        writer.flush()
    any_bus.ensure([Topic("later", 1)])
    writer.flush()
    writer.close()
    assert values(list(any_bus.history("later", {0: 0}))) == ["early"]


def test_a_record_set_aside_lies_with_the_dead_letters_as_it_came(any_bus: Bus) -> None:
    writer = any_bus.writer()
    writer.send(THINGS.name, "key", b"\xff{", "unknown", 2)
    writer.flush()
    (record,) = any_bus.history(THINGS.name, {2: 0})
    writer.set_aside(record, "not JSON")
    writer.flush()
    writer.close()
    (dead,) = any_bus.history(THINGS.dead.name, {0: 0})
    assert (dead.key, dead.value, dead.kind, dead.schema) == (record.key, record.value, record.kind, record.schema)
    assert stored(any_bus, OTHERS) == []
