"""`make bench`: every figure in a process of its own, and what came out as the table of docs/performance.md, from which
the shorter one of the README is made.

    python -m benchmarks [--quick] [--rounds N] [NAME ...]

Without names all of :data:`FILES` are measured. Rows of figures that were not measured this time stay as they are.
With ``--quick`` the inputs are small and the documents are left alone.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figure import number
from benchmarks.shared import CHECKOUT

FILES = (
    "backtest_columns",
    "backtest_parquet",
    "backtest_trades",
    "days",
    "symbols",
    "sweep",
    "start_up",
    "frame_latency",
    "frames",
    "feature_engine",
    "strategy_runtime_kafka",
    "market_persistor",
    "distributed",
    "distributed_latency",
)
"""In the order of the table; one a line, each a file of this folder."""

DOCUMENT = CHECKOUT / "docs" / "performance.md"
README = CHECKOUT / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = (
    "| figure | measured | limit in the same run | ratio | at least | aim | reached | peak memory | CPU | note |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
COLUMNS = HEAD.partition("\n")[0].count("|") - 1
IN_SHORT = ("figure", "measured", "ratio", "at least", "aim")

Result = Mapping[str, Any]


def measured(name: str, arguments: list[str]) -> list[Result]:
    """What one file says about its figures; a file that fails is a result, too."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        results.append({"name": name, "missing": f"failed with exit code {done.returncode}", "failed": True})
    return results


def row(result: Result) -> str:
    """A figure as a row of the table."""
    name = result["name"]
    if "missing" in result:
        return _row(name, "not measured", *[""] * 7, result["missing"])
    limit, ratio, of_ratio = result["limit"], result["ratio"], result["goal_of"] == "ratio"
    unit = "" if of_ratio else f" {result['unit']}"
    bounds = ["" if bound is None else f"{bound:g}{unit}" for bound in (result["at_least"], result["aim"])]
    if result["better"] == "less":
        bounds = [f"≤ {bound}" for bound in bounds]
    uncounted = " (below its published rate)" if result["limit_counts"] is False else ""
    return _row(
        name,
        f"{number(result['value'])} {result['unit']}",
        "" if limit is None else f"{limit}: {number(result['limit_value'])}{uncounted}",
        "" if ratio is None else f"{ratio:.2f}",
        *bounds,
        "" if result["at_least"] is None else result["reached"] or "not comparable",
        "" if result["peak_memory_mb"] is None else f"{result['peak_memory_mb']:,.0f} MB",
        "" if result["cpu_seconds"] is None else f"{number(result['cpu_seconds'])} s",
        result["note"],
    )


def _row(*cells: str) -> str:
    assert len(cells) == COLUMNS
    return _row_of(cell.replace("|", "/") for cell in cells)


def machine() -> str:
    """What the figures were measured on, in a line."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    memory = psutil.virtual_memory().total / (1 << 30)
    return (
        f"Newest rows: {date.today():%-d %B %Y}, {model}, {os.cpu_count()} processors, {memory:.0f} GiB, "  # noqa: DTZ011
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.0f} at the end."
    )


def with_rows(text: str, results: list[Result], measured_on: str) -> str:
    """The document with these figures in its table: where they stood, or at its end."""
    _, table, _ = _around_table(text)
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in _rows(table)}
    for result in results:
        if "missing" not in result or result["name"] not in rows:
            rows[result["name"]] = row(result)
    return _with_table(text, [measured_on, "", HEAD, *rows.values()])


def in_short(text: str, document: str) -> str:
    """A text with the table of the document in its own, cut down to :data:`IN_SHORT`."""
    _, table, _ = _around_table(document)
    places = [_cells(HEAD.partition("\n")[0]).index(name) for name in IN_SHORT]
    rows = [_row_of([cells[place] for place in places]) for cells in map(_cells, _rows(table))]
    measured_on = table.strip().partition("\n")[0]
    return _with_table(text, [measured_on, "", _row_of(IN_SHORT), "|" + "---|" * len(IN_SHORT), *rows])


def _around_table(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: there is no table between {BEGIN} and {END} in {text[:40]!r}…")
    return before, table, after


def _with_table(text: str, lines: list[str]) -> str:
    before, _, after = _around_table(text)
    return "\n".join([before + BEGIN, *lines, END]) + after


def _rows(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.startswith("| ") and line not in HEAD]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _row_of(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which files [default: all]")
    parser.add_argument("--quick", action="store_true", help="small inputs; leaves the documents alone")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure each side N times")
    options = parser.parse_args()
    unknown = sorted(name for name in options.names if not (Path(__file__).parent / f"{name}.py").is_file())
    if unknown:
        parser.error(f"there is no benchmarks/{unknown[0]}.py; the files are {', '.join(FILES)}")
    arguments = ["--quick"] * options.quick + (["--rounds", str(options.rounds)] if options.rounds else [])
    results: list[Result] = []
    for name in options.names or FILES:
        found = measured(name, arguments)
        print(*map(row, found), sep="\n", flush=True)
        results += found
    if not options.quick:
        document = with_rows(DOCUMENT.read_text("utf-8"), results, machine())
        DOCUMENT.write_text(document, "utf-8")
        README.write_text(in_short(README.read_text("utf-8"), document), "utf-8")
        print(f"written to {DOCUMENT.relative_to(CHECKOUT)} and {README.relative_to(CHECKOUT)}")
    if any(result.get("failed") for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
