"""A day of a file comes out in parts, and its rows in the same order as at once."""

from pathlib import Path

import pyarrow as pa
import pytest

from quant_platform.adapters.ticks.files import FileTickSource

from .file_rig import SESSIONS, expected_rows, rows_of, tick_table, write


def by_time(table: pa.Table) -> pa.Table:
    return table.sort_by([("timestamp", "ascending")])


def test_a_file_in_order_of_time_comes_out_in_parts(tmp_path: Path) -> None:
    table = by_time(tick_table())
    source = FileTickSource([write(tmp_path / "ticks.parquet", table, row_group_size=150)])
    parts = list(source.parts())
    assert len(parts) > 4 * len(SESSIONS)
    assert [part.day for part in parts if part.ends_day] == SESSIONS
    assert all(part.ticks.ts.size for part in parts if not part.ends_day)
    ends = [(part.day, part.ticks.ts[-1]) for part in parts if part.ticks.ts.size]
    starts = [(part.day, part.ticks.ts[0]) for part in parts if part.ticks.ts.size]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False)), "equal stamps stay together"
    assert rows_of(source) == expected_rows(table)


@pytest.mark.parametrize("group", [7, 64, 150])
def test_row_groups_that_overlap_in_time_come_out_in_order(tmp_path: Path, group: int) -> None:
    table = by_time(tick_table(a_day=100))
    halves = table.take(pa.array(range(0, len(table), 2))), table.take(pa.array(range(1, len(table), 2)))
    backwards = pa.concat_tables(  # each row group from its last row to its first
        [halves[1].slice(start, group).sort_by([("timestamp", "descending")]) for start in range(0, len(table), group)]
    )
    paths = [
        write(tmp_path / "a.parquet", halves[0], row_group_size=group + 5),
        write(tmp_path / "b.parquet", backwards, row_group_size=group),
    ]
    source = FileTickSource(paths)
    assert rows_of(source) == rows_of(FileTickSource(paths, buffer_bytes=2000)), "through temporary files"
    assert rows_of(source) == expected_rows(pa.concat_tables([halves[0], backwards]))
    assert len(list(source.parts())) > len(SESSIONS)
