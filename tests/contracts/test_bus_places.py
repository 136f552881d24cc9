"""What every bus keeps (``ports/bus.py``) about where a group stands, in memory and on a real Kafka."""

import time

import pytest

from quant_platform.ports.bus import Bus
from tests.contracts.bus_rig import THINGS, WITHIN_S, following, take, values, write


def test_a_group_is_behind_by_what_it_has_not_committed(any_bus: Bus) -> None:
    write(any_bus, "a", "b", partition=0)
    write(any_bus, "c", partition=2)
    assert any_bus.behind("group", THINGS.name) == 3
    reader = any_bus.group_reader("group", "one", THINGS.name)
    records = take(reader, 3)
    assert any_bus.behind("group", THINGS.name) == 3
    reader.commit(following(next(record for record in records if record.value == b"a")))
    assert any_bus.behind("group", THINGS.name) == 2
    assert any_bus.behind("another", THINGS.name) == 3
    reader.close()


def test_a_group_that_commits_its_positions_is_behind_by_nothing_transactions_or_not(any_bus: Bus) -> None:
    reader = any_bus.group_reader("group", "one", THINGS.name)
    writer = any_bus.transactional_writer("writer")
    for _ in range(2):
        writer.send(THINGS.name, "key", b"a", partition=1)
        writer.commit(reader, {})
    take(reader, 2)
    deadline = time.monotonic() + WITHIN_S
    while any_bus.behind("group", THINGS.name):
        assert time.monotonic() < deadline
        assert not reader.poll(1, 0.1)
        reader.commit(reader.positions())
    writer.close()
    reader.close()


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 1.0])
def test_a_reader_that_never_polled_can_be_closed(any_bus: Bus, after_s: float) -> None:
    reader = any_bus.group_reader("group", "one", THINGS.name)
    time.sleep(after_s)
    reader.close()
    write(any_bus, "a")
    reader = any_bus.group_reader("group", "one", THINGS.name)
    assert values(take(reader, 1)) == ["a"]
    reader.close()
