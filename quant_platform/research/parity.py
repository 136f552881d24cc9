"""``quant parity``: the same days in two modes, a stored run and a backtest of the ticks it stored, order by order."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import format_rupees
from quant_platform.domain.session import IST, ist_date
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.garbage import collected_at_rest
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.identity import decided_by
from quant_platform.hosts.look import order_json, print_json
from quant_platform.hosts.options import ParityOptions
from quant_platform.hosts.results import in_rupees
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest, RunSummary
from quant_platform.ports.ledger_views import OrderView
from quant_platform.research.backtest import trade
from quant_platform.research.feeding import Span, table_of
from quant_platform.research.tables import NARROWEST

_AMOUNTS = (
    ("Gross", "gross_pnl"),
    ("Charges", "charges"),
    ("Net", "net_pnl"),
    ("Balance at the end", "ending_balance"),
)
BATCH = 65_536
MOST_SHOWN = 10
"""Differences that are printed: what follows the first one mostly follows from it."""


class Side(NamedTuple):
    """One of the two modes."""

    name: str
    summary: RunSummary
    orders: list[OrderView]  # the first one first


class Difference(NamedTuple):
    """Two orders of one place that are not the same; None where a side has none."""

    place: int  # from 1
    stored: OrderView | None
    tested: OrderView | None


def run(options: ParityOptions) -> bool:
    """Compare, and print what was found; tells whether all orders are alike.

    Raises:
        UsageError: there is no ledger or no such portfolio, its last run is not over or was no run of these settings,
            or its ticks are not there any more.
    """
    strategy, settings = load_strategy(options.strategy, options.parameters)
    home = HomeFolder(options.home)
    if not home.ledger.is_file():
        raise UsageError(f"there is no ledger in {home.root}", "run `quant up` first, or name another --home")
    with SqlLedger(home.ledger) as ledger:
        stored, days = _stored(ledger, options, (settings, strategy.parameters))
    source = FileTickSource([str(_ticks_of(home, days))], first=days.first, last=days.last)
    tested = _tested(source, Blueprint(strategy, settings, source.has_depth), stored.summary.starting_balance)
    found = differences(stored.orders, tested.orders)
    if options.json:
        _print_json(stored, tested, days, found)
    else:
        _print(stored, tested, days, found)
    return not found


def differences(stored: Sequence[OrderView], tested: Sequence[OrderView]) -> list[Difference]:
    """Orders of one place that differ in anything but their names."""
    return [
        Difference(place, one, other)
        for place, (one, other) in enumerate(zip_longest(stored, tested), 1)
        if one is None or other is None or _content(one) != _content(other)
    ]


def _content(order: OrderView) -> OrderView:
    return order._replace(order_id="", run_id="", portfolio="")


def _stored(ledger: SqlLedger, options: ParityOptions, settings: Sequence[object]) -> tuple[Side, Span]:
    """The portfolio's last run, and its first and last day."""
    name = options.portfolio
    runs = {view.name: view.last_run for view in ledger.portfolios()}
    if not runs.get(name):
        raise UsageError(f"portfolio {name!r} has no run yet", f"the ledger has {', '.join(runs) or 'none'}")
    record = ledger.run_record(runs[name])
    if record.state != "complete" or record.last_moment is None:
        raise UsageError(f"run {runs[name]} is not over", "`quant up` with the same options goes on with it")
    if not decided_by(record.identity, options.strategy, *settings):
        raise UsageError(
            f"run {runs[name]} was decided by another strategy, or with other settings",
            "give the --strategy, --set and --latency-ms of that run",
        )
    orders = ledger.orders(run=runs[name])[::-1]
    last = ist_date(record.last_moment)
    first = orders[0].decided_at.astimezone(IST).date() if orders else last
    return Side(f"{record.mode} {runs[name]}", ledger.run_summary(runs[name]), orders), Span(first, last)


def _ticks_of(home: HomeFolder, days: Span) -> Path:
    for day in days:
        if not (home.ticks / f"date={day}").is_dir():
            raise UsageError(
                f"the ticks of {day} are not in {home.ticks}", "`quant restore` brings back what was backed up"
            )
    return home.ticks


def _tested(source: FileTickSource, blueprint: Blueprint, capital: int) -> Side:
    """The same by a backtest. What warmed the run is stored beside its ticks, so no history is asked for."""
    with (
        TemporaryDirectory() as folder,
        SqlLedger(Path(folder) / "ledger.sqlite", durable=False) as ledger,
        collected_at_rest() as collector,
    ):
        request = RunRequest("parity", "backtest", blueprint.strategy.name, "{}", capital, capital, fresh=True)
        start = ledger.begin(request)
        platform = EmbeddedPlatform(blueprint, table_of(source), ledger, start.balance)
        trade(source, platform, None, BATCH, lambda _: None, collector)
        return Side("backtest", ledger.finish(), ledger.orders(run=start.run_id)[::-1])


def _print_json(stored: Side, tested: Side, days: Span, found: list[Difference]) -> None:
    print_json(
        {
            "alike": not found,
            "first": str(days.first),
            "last": str(days.last),
            "run": _numbers(stored),
            "backtest": _numbers(tested),
            "differences": [
                {
                    "order": place,
                    "run": None if of_run is None else order_json(of_run),
                    "backtest": None if of_test is None else order_json(of_test),
                }
                for place, of_run, of_test in found
            ],
        }
    )


def _numbers(side: Side) -> dict[str, object]:
    summary = side.summary
    counts = {name: getattr(summary, name) for name in ("orders", "fills", "cancelled", "ledger_sha256")}
    money = {name: in_rupees(getattr(summary, name)) for name in ("gross_pnl", "charges", "net_pnl", "ending_balance")}
    return {"name": side.name, **counts, **money}


def _print(stored: Side, tested: Side, days: Span, found: list[Difference]) -> None:
    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    table = Table(title=f"{days}, the same ticks in two modes", box=box.SIMPLE_HEAD)
    table.add_column("")
    for side in (stored, tested):
        table.add_column(side.name, justify="right")
    for name, figure in (("Orders", "orders"), ("Fills", "fills"), ("Cancelled", "cancelled")):
        table.add_row(name, *(f"{getattr(side.summary, figure):,}" for side in (stored, tested)))
    for name, figure in _AMOUNTS:
        table.add_row(name, *(format_rupees(getattr(side.summary, figure)) for side in (stored, tested)))
    console.print(table)
    if not found:
        print(f"all {len(stored.orders):,} orders are alike; ledger sha256 {stored.summary.ledger_sha256}")
        return
    most = max(len(stored.orders), len(tested.orders))
    print(f"{len(found):,} of {most:,} orders differ; what follows the first one mostly follows from it:")
    for difference in found[:MOST_SHOWN]:
        print(*_lines(difference, stored.name), sep="\n")


def _lines(difference: Difference, name: str) -> Iterator[str]:
    yield f"order {difference.place}"
    for side, order in ((name, difference.stored), ("backtest", difference.tested)):
        yield f"  {side}: {'none' if order is None else _told(order)}"


def _told(order: OrderView) -> str:
    told = f"{_at(order.decided_at)} {order.side} {order.quantity:,} {order.symbol} at {format_rupees(order.price)}"
    told += f", {order.reason}: {order.state}"
    if order.refusal:
        told += f", {order.refusal}"
    if order.executed_at is not None:
        told += f" {_at(order.executed_at)} for {format_rupees(order.value)}, charges {format_rupees(order.charges)}"
    return told


def _at(moment: datetime) -> str:
    return moment.astimezone(IST).isoformat(sep=" ", timespec="microseconds")[:-6]
