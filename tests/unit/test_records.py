"""Records as columns: whoever looks at one sees the record that came."""

import pytest

from quant_platform.ports.bus import Head, Record, Records

CAME = [
    Record("things", 2, 7, "tick", 1, "NSE_EQ:INFY", b"{}"),
    Record("things", 0, 7, "clock", 1, "", b""),
    Record("things", 2, 9, "", 0, "NSE_EQ:INFY", b"not ours"),
]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_columns_give_the_records_that_made_them(count: int) -> None:
    records = Records.of("things", CAME[:count])
    assert list(records) == CAME[:count]
    assert [records[place] for place in range(count)] == CAME[:count]
    assert len(records) == count
    assert all(type(record) is Record for record in records)


def test_a_part_is_columns_too() -> None:
    part = Records.of("things", CAME)[1:]
    assert (part.topic, part.partitions, part.offsets) == ("things", [0, 2], [7, 9])
    assert part.heads == [Head("clock", 1), Head("", 0)]
    assert list(part) == CAME[1:]


def test_a_place_beyond_the_last_is_none() -> None:
    with pytest.raises(IndexError):
        Records.of("things", CAME)[3]
