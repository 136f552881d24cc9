"""``quant download``: history into files, with its progress on the terminal and a report of its quality at the end."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from quant_platform.domain.errors import QuantError
from quant_platform.domain.session import ist_time
from quant_platform.hosts.backfill import Downloaded, Progress
from quant_platform.hosts.backfill_wiring import opened
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import DownloadOptions
from quant_platform.hosts.tasks import until_stopped
from quant_platform.services.data_backfiller.quality import SymbolReport

FINDINGS_SHOWN = 10
"""Below the table; all of them stand in ``--json``."""
SYMBOLS_SHOWN = 30

COLUMNS: Mapping[str, str] = {
    "days": "days",
    "days_without_candles": "empty",
    "candles": "candles",
    "missing": "missing",
    "gaps": "gaps",
    "duplicates": "dupl.",
    "outliers": "outliers",
    "out_of_session": "off hours",
    "impossible": "impossible",
    "wrong_day": "wrong day",
}
"""Numbers of a :class:`.SymbolReport` and their heads. A narrow terminal has no room for what is 0 everywhere."""
ALWAYS_SHOWN = ("days", "candles", "missing")

_log = structlog.get_logger(__name__)


def run(options: DownloadOptions) -> None:
    """Download what is missing, and tell how good it is.

    Raises:
        QuantError: as :func:`.opened` and :meth:`.Backfill.run`, or it was stopped; the next run goes on.
    """
    configure_logs("info")
    settings = load_settings(options.config)
    done: list[tuple[str, Downloaded]] = []

    async def work(_: asyncio.Event) -> None:
        done.append(await _download(settings, options))

    asyncio.run(until_stopped(work))
    if not done:
        raise QuantError("stopped before the download was complete", "the same command goes on where it stopped")
    where, downloaded = done[0]
    if options.json:
        print_json(_as_json(where, downloaded))
    else:
        _print(where, downloaded)


async def _download(settings: Settings, options: DownloadOptions) -> tuple[str, Downloaded]:
    with _shown() as on_progress:
        async with opened(settings, options, on_progress) as work:
            return work.backfill.store.where, await work.backfill.run(work.span)


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error where a person watches, else a line of the log a span."""
    console = Console(stderr=True)
    if not console.is_terminal:
        told: set[object] = set()

        def tell(progress: Progress) -> None:
            if progress.span not in told:
                told.add(progress.span)
                first, last = progress.span
                _log.info(
                    "fetching", first=str(first), last=str(last), answered=progress.answered, of=progress.requests
                )

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("requests"))
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("what is missing?", total=None)
        yield lambda progress: bar.update(
            task,
            description=f"{progress.span.first:%b %Y}",
            total=progress.requests,
            completed=progress.answered,
        )


def total(lines: Sequence[SymbolReport]) -> SymbolReport:
    """The report of all symbols together; days are counted once a symbol."""
    _, *columns = zip(*lines, strict=True)
    return SymbolReport("all", *(sum(column) for column in columns))


def _print(where: str, downloaded: Downloaded) -> None:
    console = Console(highlight=False)
    if not sys.stdout.isatty():
        console.width = max(console.width, 120)
    everything = total(downloaded.report)
    shown = [name for name in COLUMNS if name in ALWAYS_SHOWN or getattr(everything, name)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("symbol")
    for name in shown:
        table.add_column(COLUMNS[name], justify="right")
    for line in _worst_first(downloaded.report):
        table.add_row(line.symbol, *_numbers(line, shown))
    table.add_section()
    table.add_row(everything.symbol, *_numbers(everything, shown))
    console.print(f"{downloaded.span.first} to {downloaded.span.last}: {where}", soft_wrap=True)
    console.print(table)
    if len(downloaded.report) > SYMBOLS_SHOWN:
        console.print(f"{len(downloaded.report) - SYMBOLS_SHOWN} more symbols: see --json")
    for found in downloaded.findings[:FINDINGS_SHOWN]:
        bars = f", {found.bars} bars" if found.bars > 1 else ""
        console.print(f"{ist_time(found.start)} {found.symbol} {found.kind}{bars}")
    if len(downloaded.findings) > FINDINGS_SHOWN:
        console.print(f"{len(downloaded.findings) - FINDINGS_SHOWN} more findings: see --json")
    for day in downloaded.unknown_days:
        console.print(f"{day} left out: the exchange calendar does not know the hours of its session")
    console.print(f"{downloaded.requests} requests, {downloaded.days_saved} dates written")


def _worst_first(lines: Sequence[SymbolReport]) -> list[SymbolReport]:
    """At most so many as a screen takes, those with the most amiss first."""

    def amiss(line: SymbolReport) -> int:
        return line.missing + line.duplicates + line.outliers + line.out_of_session + line.impossible + line.wrong_day

    return sorted(lines, key=lambda line: (-amiss(line), line.symbol))[:SYMBOLS_SHOWN]


def _numbers(line: SymbolReport, names: Sequence[str]) -> list[str]:
    return [f"{getattr(line, name):,}" for name in names]


def _as_json(where: str, downloaded: Downloaded) -> dict[str, object]:
    return {
        "from": downloaded.span.first,
        "to": downloaded.span.last,
        "store": where,
        "requests": downloaded.requests,
        "dates_written": downloaded.days_saved,
        "left_out": list(downloaded.unknown_days),
        "total": total(downloaded.report)._asdict(),
        "symbols": [line._asdict() for line in downloaded.report],
        "findings": [found._asdict() | {"start": ist_time(found.start).isoformat()} for found in downloaded.findings],
    }
