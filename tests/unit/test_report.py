"""The report folder: complete, readable by machines, and never half-written."""

import csv
import json
import math
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from quant_platform.domain.errors import UsageError
from quant_platform.domain.orders import BUY, SELL
from quant_platform.domain.session import ns_at
from quant_platform.ports.ledger_store import EquityRow, FillRow, OrderEndRow, OrderRow, RunSummary
from quant_platform.research import charts, report

START = 20_000_00
FIRST = date(2021, 4, 5)


def run_of(days: int) -> dict[str, Any]:
    """One round trip a day that gains 5 rupees and pays 2 in charges, and an order cancelled on the first day."""
    orders, fills, equity = [], [], []
    for number in range(days):
        opens = ns_at(FIRST + timedelta(days=number), time(9, 15)) + 123_456_789
        later = opens + 60 * 10**9
        orders += [
            OrderRow(2 * number + 1, opens, "NSE_EQ:TCS", BUY, 1, 1000_00, "price above VWAP, RSI 57.2, OBI 0.31"),
            OrderRow(2 * number + 2, later, "NSE_EQ:TCS", SELL, 1, 1005_00, "square-off"),
        ]
        fills += [
            FillRow(2 * number + 1, opens, "NSE_EQ:TCS", BUY, 1, 1000_00, 80, 0, 0, orders[-2].reason, False),
            FillRow(2 * number + 2, later, "NSE_EQ:TCS", SELL, 1, 1005_00, 1_20, 5_00, 3_00, "square-off", True),
        ]
        equity.append(EquityRow(later, START + 3_00 * (number + 1), START + 3_00 * (number + 1)))
    ends = []
    if days:
        orders.append(OrderRow(2 * days + 1, fills[0].ts, "NSE_EQ:INFY", BUY, 2, 700_00, "price above VWAP"))
        ends.append(OrderEndRow(2 * days + 1, fills[0].ts, "NSE_EQ:INFY", "cancelled", ""))
    summary = RunSummary(
        run_id="backtest-0001",
        ticks=10,
        late=0,
        duplicates=0,
        orders=len(orders),
        fills=len(fills),
        cancelled=len(ends),
        round_trips=days,
        gross_pnl=5_00 * days,
        charges=2_00 * days,
        net_pnl=3_00 * days,
        starting_balance=START,
        ending_balance=START + 3_00 * days,
        max_drawdown=80,
        refusals={"max_positions": 2},
        ledger_sha256="ab" * 32,
    )
    return {"summary": summary, "fills": fills, "orders": orders, "equity": equity, "ends": ends}


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_is_there_as_csv_and_json_and_says_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "report"
    report.write(folder, **run_of(3))
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.{kind}" for name in report.TABLES for kind in ("csv", "json")),
        *charts.PICTURES,
    }
    for name in set(report.TABLES) - {"summary"}:
        from_csv, from_json = rows_in(folder / f"{name}.csv"), json.loads((folder / f"{name}.json").read_text())
        assert len(from_csv) == len(from_json) > 0
        for text, values in zip(from_csv, from_json, strict=True):
            assert text.keys() == values.keys()
            for key, value in values.items():
                assert text[key] == ("" if value is None else str(value)) or math.isclose(float(text[key]), value)


def test_the_summary_holds_the_runs_numbers_in_rupees_gross_and_net(tmp_path: Path) -> None:
    report.write(tmp_path / "r", **run_of(3), about={"strategy": "momentum"})
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert next(iter(summary.items())) == ("strategy", "momentum")
    assert (summary["gross_pnl"], summary["charges"], summary["net_pnl"]) == (15.0, 6.0, 9.0)
    assert summary["refusals"] == {"max_positions": 2}
    assert summary["gross"]["expectancy"] == 5.0
    assert summary["net"]["expectancy"] == 3.0
    flat = {row["name"]: row["value"] for row in rows_in(tmp_path / "r" / "summary.csv")}
    assert flat["net_pnl"] == "9.00"
    assert flat["refusals.max_positions"] == "2"
    assert flat["net.win_rate"] == "1.0"


def test_orders_tell_what_became_of_them(tmp_path: Path) -> None:
    report.write(tmp_path / "r", **run_of(1))
    bought, sold, cancelled = rows_in(tmp_path / "r" / "orders.csv")
    assert bought["decided_at"] == "2021-04-05T09:15:00.123456789+05:30"
    assert bought["reason"] == "price above VWAP, RSI 57.2, OBI 0.31"
    assert (sold["transaction_type"], sold["state"], sold["pnl"], sold["closed_at_last_price"]) == (
        "SELL",
        "filled",
        "3.00",
        "True",
    )
    assert (cancelled["state"], cancelled["executed_at"], cancelled["value"]) == ("cancelled", "", "")


def test_the_equity_curve_has_a_gross_and_a_net_column(tmp_path: Path) -> None:
    report.write(tmp_path / "r", **run_of(2))
    points = rows_in(tmp_path / "r" / "equity.csv")
    assert [point["equity"] for point in points] == ["20003.00", "20006.00"]
    assert [point["gross_equity"] for point in points] == ["20005.00", "20010.00"]


@pytest.mark.parametrize("days", [0, 1, 60])
def test_pictures_are_drawn_for_runs_of_any_length(tmp_path: Path, days: int) -> None:
    report.write(tmp_path / "r", **run_of(days))
    for name in charts.PICTURES:
        assert (tmp_path / "r" / name).read_bytes().startswith(b"\x89PNG")


def test_a_run_without_orders_has_tables_with_headings_only(tmp_path: Path) -> None:
    report.write(tmp_path / "r", **run_of(0))
    assert (tmp_path / "r" / "orders.csv").read_text().startswith("order_no,decided_at,symbol")
    assert json.loads((tmp_path / "r" / "orders.json").read_text()) == []


def test_an_earlier_report_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    report.write(folder, **run_of(3))
    (folder / "left-over.txt").write_text("of the first")
    report.write(folder, **run_of(1))
    assert len(rows_in(folder / "daily.csv")) == 1
    assert not (folder / "left-over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds something that is not a report"):
        report.write(tmp_path, **run_of(1))
    with pytest.raises(UsageError, match="is a file, not a folder"):
        report.check_folder(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    report.write(tmp_path, **run_of(1))
    assert (tmp_path / "summary.json").exists()


def test_nothing_half_written_stays_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "r"
    report.write(folder, **run_of(2))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(charts, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.write(folder, **run_of(5))
    with pytest.raises(KeyboardInterrupt):
        report.write(tmp_path / "other", **run_of(5))
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        report.write(tmp_path / "file" / "r", **run_of(1))
