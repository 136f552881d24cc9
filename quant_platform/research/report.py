"""The report folder of a run: summary, orders, equity curve, days and symbols as CSV and JSON, and pictures."""

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import rupees
from quant_platform.domain.orders import BUY
from quant_platform.domain.session import IST
from quant_platform.ports.ledger_store import EquityRow, FillRow, OrderEndRow, OrderRow, RunSummary
from quant_platform.research import charts
from quant_platform.research.metrics import Breakdown, CurveFigures, Metrics, TradeFigures, measure

TABLES = ("summary", "orders", "equity", "daily", "symbols", "exits")
"""Each is written as ``.csv`` and ``.json``."""

SUMMARY = "summary.json"
"""Stands in every folder of ours: one without it is not replaced."""

_ORDER_COLUMNS = (
    *("order_no", "decided_at", "symbol", "transaction_type", "quantity", "price", "reason", "state"),
    *("executed_at", "value", "charges", "gross", "pnl", "closed_at_last_price"),
)
_DAY_COLUMNS = ("date", "fills", "round_trips", "gross_pnl", "charges", "net_pnl", "equity", "gross_equity")


class Table(NamedTuple):
    """Rows for a file; money as exact rupees."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def check_folder(directory: Path) -> None:
    """Make sure that a report may be written there; an earlier report is replaced, anything else is not.

    Raises:
        UsageError: it is a file, or a folder that holds something else.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file, not a folder", "name a folder for --report")
    if any(directory.iterdir()) and not (directory / SUMMARY).exists():
        raise UsageError(
            f"the folder {directory} holds something that is not a report", "name a new or empty folder for --report"
        )


def write(
    directory: Path,
    summary: RunSummary,
    fills: Sequence[FillRow],
    orders: Sequence[OrderRow],
    equity: Sequence[EquityRow],
    *,
    ends: Sequence[OrderEndRow] = (),
    about: Mapping[str, Any] | None = None,
    caption: str = "",
) -> Metrics:
    """Write the report, whole or not at all; a report that stood there before is replaced.

    Args:
        directory: the folder to make; its parents are made too.
        summary: the run's numbers.
        fills: in order of execution.
        orders: in order of decision.
        equity: points of the equity curve, in order of time.
        ends: orders that ended unfilled.
        about: what was run, put first into the summary.
        caption: the same in a few words, for the pictures.

    Returns:
        The figures the report was made from.

    Raises:
        UsageError: the folder holds something that is not a report, or cannot be written.
    """
    check_folder(directory)
    metrics = measure(summary, fills, equity)
    with fresh_folder(directory) as folder:
        _write_tables(folder, metrics, fills, orders, ends, about or {})
        charts.draw(metrics, folder, caption or summary.run_id)
    return metrics


@contextmanager
def fresh_folder(directory: Path) -> Iterator[Path]:
    """A folder to write a report into, which then takes the place of ``directory``; nothing changes on an error.

    Raises:
        UsageError: it cannot be written.
    """
    target = directory.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "new"
            fresh.mkdir()
            yield fresh
            _put_in_place(fresh, target, Path(scratch) / "old")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written to {directory} ({error.strerror})", "check the folder's rights and space"
        ) from error


def _put_in_place(fresh: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _write_tables(
    folder: Path,
    metrics: Metrics,
    fills: Sequence[FillRow],
    orders: Sequence[OrderRow],
    ends: Sequence[OrderEndRow],
    about: Mapping[str, Any],
) -> None:
    described = summary_values(metrics, about)
    write_json(folder / SUMMARY, described)
    write_csv(folder / "summary.csv", Table(("name", "value"), list(_flat(described))))
    tables = {
        "orders": _orders(orders, fills, ends),
        "equity": _equity(metrics),
        "daily": _daily(metrics),
        "symbols": _breakdown("symbol", metrics.symbols),
        "exits": _breakdown("reason", metrics.exits),
    }
    for name, table in tables.items():
        write_csv(folder / f"{name}.csv", table)
        write_json_rows(folder / f"{name}.json", table)


def summary_values(metrics: Metrics, about: Mapping[str, Any]) -> dict[str, Any]:
    """The run's numbers and figures; money in rupees, gross and net apart."""
    run = metrics.summary
    money = ("gross_pnl", "charges", "net_pnl", "starting_balance", "ending_balance", "max_drawdown")
    numbers = {
        name: rupees(value) if name in money else dict(value) if isinstance(value, Mapping) else value
        for name, value in ((name, getattr(run, name)) for name in run.__dataclass_fields__)
    }
    return {
        **about,
        **numbers,
        "holding_minutes": metrics.holding_minutes,
        "gross": {**_curve_values(metrics.curve_gross), **_trade_values(metrics.trades_gross)},
        "net": {**_curve_values(metrics.curve_net), **_trade_values(metrics.trades_net)},
    }


def _curve_values(figures: CurveFigures) -> dict[str, Any]:
    return {name: value for name, value in asdict(figures).items() if name != "drawdown_paise"}


def _trade_values(figures: TradeFigures) -> dict[str, Any]:
    values = asdict(figures)
    for name in ("average_win", "average_loss", "expectancy"):
        paise = values[name]
        values[name] = None if paise is None else rupees(round(paise))
    return values


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _orders(orders: Sequence[OrderRow], fills: Sequence[FillRow], ends: Sequence[OrderEndRow]) -> Table:
    filled = {fill.order_no: fill for fill in fills}
    ended = {end.order_no: end.state for end in ends}
    rows = []
    for order in orders:
        fill = filled.get(order.order_no)
        side = "BUY" if order.side == BUY else "SELL"
        decided = (
            order.order_no,
            _ist(order.ts),
            order.symbol,
            side,
            order.quantity,
            rupees(order.price),
            order.reason,
        )
        if fill is None:
            rows.append((*decided, ended.get(order.order_no, "pending"), *[None] * 6))
        else:
            money = map(rupees, (fill.value, fill.charges, fill.gross, fill.pnl))
            rows.append((*decided, "filled", _ist(fill.ts), *money, fill.at_last_price))
    return Table(_ORDER_COLUMNS, rows)


def _equity(metrics: Metrics) -> Table:
    curve = metrics.curve
    money = (curve.balance, curve.equity, curve.gross, curve.drawdown)
    points = zip(map(_ist, curve.ts.tolist()), *(map(rupees, column.tolist()) for column in money), strict=True)
    return Table(("timestamp", "balance", "equity", "gross_equity", "drawdown"), list(points))


def _daily(metrics: Metrics) -> Table:
    rows = [
        (
            *(day.day.isoformat(), day.fills, day.round_trips),
            *map(rupees, (day.gross, day.charges, day.net, day.equity, day.gross_equity)),
        )
        for day in metrics.days
    ]
    return Table(_DAY_COLUMNS, rows)


def _breakdown(label: str, parts: Sequence[Breakdown]) -> Table:
    rows = [
        (part.label, part.round_trips, part.wins, *map(rupees, (part.gross, part.charges, part.net))) for part in parts
    ]
    return Table((label, "round_trips", "wins", "gross_pnl", "charges", "net_pnl"), rows)


def _ist(ts: int) -> str:
    """ISO 8601 in IST, to the nanosecond where there are any."""
    seconds, rest = divmod(ts, 1_000_000_000)
    at = datetime.fromtimestamp(seconds, UTC).astimezone(IST)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+05:30"


def write_csv(path: Path, table: Table) -> None:
    """A table with its head."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.columns)
        writer.writerows(table.rows)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """One object, to be read by eye; amounts may be Decimal."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8")


def write_json_rows(path: Path, table: Table) -> None:
    """An array with a line for every row: to be read by eye, and faster to write than with one for every value."""
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    lines = [json.dumps(row, ensure_ascii=False, default=_plain) for row in rows]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _plain(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")
