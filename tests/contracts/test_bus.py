"""What every bus keeps (``ports/bus.py``): in memory, and on a real Kafka."""

import random
import time
from collections.abc import Callable, Sequence
from itertools import groupby

import pytest

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.domain.errors import DataError, UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.ports.bus import Bus, GroupReader, Record, RecordReader, RecordWriter

PARTITIONS = 3
THINGS = Topic("things", PARTITIONS)
OTHERS = Topic("others", PARTITIONS)
ALL = dict.fromkeys(range(PARTITIONS), 0)
WITHIN_S = 60.0


@pytest.fixture(params=["memory", "kafka"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    """An empty bus with two topics."""
    made: Bus = MemoryBus() if request.param == "memory" else request.getfixturevalue("bus")
    made.ensure([THINGS, OTHERS])
    return made


def write(bus: Bus, *values: str, partition: int = 0, topic: Topic = THINGS) -> None:
    writer = bus.writer()
    for value in values:
        writer.send(topic.name, "key", value.encode(), partition=partition)
    writer.flush()
    writer.close()


def take(reader: RecordReader, count: int) -> list[Record]:
    """The next records, exactly so many, and none beyond them that is there already."""
    found: list[Record] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records came"
        found += reader.poll(count - len(found), 0.5)
    assert len(found) == count
    return found


def values(records: Sequence[Record]) -> list[str]:
    return [record.value.decode() for record in records]


def stored(bus: Bus, topic: Topic = THINGS) -> list[str]:
    return values(list(bus.history(topic.name, ALL)))


def following(record: Record) -> dict[tuple[str, int], int]:
    return {(record.topic, record.partition): record.offset + 1}


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
    with pytest.raises(UnavailableError, match=r"1500000 bytes .* topic things"):
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


# Groups.


def test_a_group_goes_on_after_its_last_commit(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    first = any_bus.group_reader("group", "one", THINGS.name)
    read = take(first, 2)
    first.commit(following(read[0]))
    first.close()
    again = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(again, 2)) == ["b", "c"]
    again.close()
    other = any_bus.group_reader("another group", "one", THINGS.name)
    assert values(take(other, 3)) == ["a", "b", "c"]
    other.close()


def test_a_reader_is_told_its_partitions_before_their_records(any_bus: Bus) -> None:
    write(any_bus, "a")
    told: list[int] = []
    reader = any_bus.group_reader("group", "one", THINGS.name, told.extend)
    assert told == []
    (record,) = take(reader, 1)
    assert record.partition in told
    assert sorted(told) == list(ALL)
    reader.close()


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
    second.commit({key: offset for record in theirs for key, offset in following(record).items()})
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
        old.commit(following(record))
    old.close()
    new.close()


# Transactions.


def test_a_transaction_is_unseen_until_it_is_committed_and_moves_its_group_with_it(any_bus: Bus) -> None:
    write(any_bus, *"abc")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    read = take(reader, 2)
    writer = any_bus.transactional_writer("writer")
    for record in read:
        writer.send(OTHERS.name, record.key, record.value.upper(), partition=0)
    writer.flush()
    assert stored(any_bus, OTHERS) == []
    writer.commit(reader, following(read[-1]))
    assert stored(any_bus, OTHERS) == ["A", "B"]
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
