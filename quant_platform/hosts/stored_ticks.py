"""``quant ticks``: questions to the stored ticks, in SQL."""

from datetime import date, datetime

from rich import box
from rich.console import Console
from rich.table import Table

from quant_platform.adapters.ticks.duckdb import QueryResult, TickQueries
from quant_platform.domain.errors import UsageError
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import TicksOptions

OVERVIEW = """
    SELECT date, symbol, count(*) AS ticks, strftime(min(timestamp), '%H:%M:%S') AS first,
           strftime(max(timestamp), '%H:%M:%S') AS last, arg_max(ltp, seq) AS last_price, max(volume) AS volume
    FROM ticks GROUP BY date, symbol ORDER BY date, symbol
"""


def run(options: TicksOptions) -> None:
    """Print the answer to one SELECT over the view ``ticks``; without one, what is stored of each day and symbol.

    Raises:
        UsageError: nothing is stored in that home, or the query cannot be answered.
    """
    if not (options.home / "ticks").is_dir():
        raise UsageError(f"no ticks are stored in {options.home}", "run `quant up` first, or name another --home")
    with TickQueries(options.home) as queries:
        answer = queries.sql(options.query or OVERVIEW)
    if options.json:
        rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
        print_json({"rows": rows})
    else:
        _print(answer)


def _print(answer: QueryResult) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for name in answer.columns:
        table.add_column(name, overflow="fold")
    for row in answer.rows:
        table.add_row(*(str(_plain(value)) for value in row))
    Console(highlight=False).print(table)


def _plain(value: object) -> object:
    """A value as JSON has it; moments to the millisecond."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value.isoformat() if isinstance(value, date) else value
