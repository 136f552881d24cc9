"""Ask stored ticks questions in SQL: finished days and the segments of a running one, read-only."""

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import duckdb
import pyarrow as pa

from quant_platform.adapters.ticks.segments import read_segment
from quant_platform.domain.errors import UsageError

_NOTHING_STORED = """
    SELECT NULL::TIMESTAMPTZ AS timestamp, NULL::VARCHAR AS symbol, NULL::BIGINT AS seq, NULL::DOUBLE AS ltp,
           NULL::BIGINT AS volume, NULL::DATE AS date
    WHERE false
"""


class QueryResult(NamedTuple):
    """Rows of an answer, with times in Asia/Kolkata to the microsecond, as Python keeps them."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


class TickQueries:
    """A view ``ticks`` over everything stored below ``root/ticks``, the column ``date`` being the session's.

    A day that is being written shows up to its last flush; what a restart wrote again shows twice until it is
    compacted.

    Args:
        root: the home folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = (root / "ticks").resolve()
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'Asia/Kolkata'")
        self._connection.execute("SET allowed_directories = [?]", [str(self._folder)])
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def sql(self, query: str) -> QueryResult:
        """The answer to one SELECT.

        Raises:
            UsageError: it is not one SELECT, or DuckDB cannot carry it out.
        """
        try:
            statements = self._connection.extract_statements(query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise UsageError("stored ticks can only be read", "give one SELECT")
            self._make_view()
            table: Any = self._connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(f"DuckDB cannot answer: {error}", "correct the query; the view is named ticks") from error
        columns = [_to_microseconds(column).to_pylist() for column in table.columns]
        return QueryResult(table.schema.names, list(zip(*columns, strict=True)))

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_view(self) -> None:
        parts = []
        if any(self._folder.glob("date=*/ticks.parquet")):
            files = str(self._folder / "date=*" / "ticks.parquet")
            finished = self._connection.read_parquet(files, hive_partitioning=True, union_by_name=True)
            finished.create_view("finished", replace=True)
            parts.append("FROM finished")
        if (running := self._segments()) is not None:
            self._connection.register("running", running)
            parts.append("FROM running")
        source = " UNION ALL BY NAME ".join(parts) or _NOTHING_STORED
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW ticks AS {source}")

    def _segments(self) -> Any:
        """Rows not compacted yet; None where there are none."""
        tables = []
        for folder in sorted(self._folder.glob("date=*/segments")):
            day = folder.parent.name.removeprefix("date=")
            for path in sorted(folder.glob("*.arrows")):
                batches = list(read_segment(path))
                if batches:
                    table = pa.Table.from_batches(batches)
                    days = pa.repeat(day, table.num_rows).cast(pa.date32())
                    tables.append(table.append_column("date", days))
        return pa.concat_tables(tables, promote_options="default") if tables else None


def _to_microseconds(column: Any) -> Any:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    return column
