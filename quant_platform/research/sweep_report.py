"""What a sweep tells: a table with the best sets first, and a folder with all of them and a heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as ScreenTable
from rich.text import Text

from quant_platform.domain.money import format_rupees, rupees
from quant_platform.research import charts
from quant_platform.research.report import SUMMARY, Table, fresh_folder, write_csv, write_json, write_json_rows
from quant_platform.research.sweep_results import MONEY, NUMBERS, SetResult
from quant_platform.research.tables import NARROWEST

HEAT_MAP = "heat_map.png"


def ranked(results: Sequence[SetResult]) -> list[SetResult]:
    """The best first: by what is left after charges, then by the smaller drawdown, then in the grid's order."""
    return sorted(results, key=lambda result: (-result.summary.net_pnl, result.summary.max_drawdown))


def varied(values: Mapping[str, Sequence[str]]) -> list[str]:
    """Names with more than one value; all of them where there is none."""
    return [name for name, texts in values.items() if len(texts) > 1] or list(values)


def print_table(console: Console, results: Sequence[SetResult], names: Sequence[str], top: int, title: str) -> None:
    """Print the best sets.

    Args:
        console: where to.
        results: the best first.
        names: of the parameters shown.
        top: how many sets at most.
        title: what was run.
    """
    console.width = max(console.width, NARROWEST + sum(map(len, names)))
    table = ScreenTable(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for name in (*names, "Gross", "Charges", "Net", "Trips", "Drawdown"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results[:top]:
        run = result.summary
        table.add_row(
            *(shown(result.parameters[name]) for name in names),
            signed(run.gross_pnl), format_rupees(run.charges), signed(run.net_pnl), f"{run.round_trips:,}",
            format_rupees(run.max_drawdown),
        )  # fmt: skip
    console.print(table)
    if not any(result.summary.round_trips for result in results):
        refused = ", ".join(f"{reason} {times:,} times" for reason, times in results[0].summary.refusals.items())
        console.print(f"no set traded; the first one's refusals: {refused or 'none, nothing was signalled'}")
    if len(results) > top:
        console.print(f"{len(results) - top:,} more sets, the last at {format_rupees(results[-1].summary.net_pnl)} net")


def shown(value: object) -> str:
    """A parameter's value as tables and pictures have it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def signed(paise: int) -> Text:
    """An amount, green where it was earned and red where it was lost."""
    return Text(format_rupees(paise), "green" if paise > 0 else "red" if paise < 0 else "")


def write(
    directory: Path,
    results: Sequence[SetResult],
    grid: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
    caption: str,
) -> None:
    """Write all sets as CSV and JSON, and the heat map, into a folder that is replaced as a whole.

    Args:
        directory: the folder; made where it is not there.
        results: the best first.
        grid: name → values as they were read, in the grid's order.
        about: what was run, for the summary.
        caption: the same in a few words.

    Raises:
        UsageError: it cannot be written.
    """
    columns = (*results[0].parameters, *NUMBERS)
    table = Table(columns, [(*result.parameters.values(), *_numbers(result)) for result in results])
    with fresh_folder(directory) as folder:
        write_json(folder / SUMMARY, about)
        write_csv(folder / "sets.csv", table)
        write_json_rows(folder / "sets.json", table)
        names = varied(grid)[:2]
        net = _best_net(results, {name: grid[name] for name in names})
        labels = [list(map(shown, grid[name])) for name in names]
        charts.draw_heat_map(folder / HEAT_MAP, names, labels, net, caption)


def _numbers(result: SetResult) -> list[Any]:
    values = ((name, getattr(result.summary, name)) for name in NUMBERS)
    return [rupees(value) if name in MONEY else value for name, value in values]


def _best_net(results: Sequence[SetResult], axes: Mapping[str, Sequence[Any]]) -> charts.Floats:
    """The best result for every value of the axes' parameters, rupees."""
    net = np.full([len(values) for values in axes.values()], np.nan)
    for result in reversed(results):  # the best last, over the worse ones
        place = tuple(values.index(result.parameters[name]) for name, values in axes.items())
        net[place] = result.summary.net_pnl / 100
    return net
