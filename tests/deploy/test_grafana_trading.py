"""Every panel and alert of trading on a real Postgres, asked as Grafana's user, against what the ledger itself says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice

import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.tables import metadata
from quant_platform.domain.instruments import instrument_for
from quant_platform.domain.session import IST
from quant_platform.ports.ledger_store import EquityRow, LedgerBlock
from quant_platform.ports.ledger_views import ScanPick
from tests.integration.ledger_days import NS, OPEN, request, round_trips
from tests.servers import Database

from .grafana_files import (
    Connection,
    Json,
    TimeRange,
    asked,
    dashboards,
    expand,
    firing,
    panel_sql,
)
from .grafana_user import PASSWORD, as_grafana, run_reader_sql
from .made_up_trading import CAPITAL, trade

MONDAY, WEDNESDAY = date(2026, 11, 23), date(2026, 11, 25)
WEEK = TimeRange(datetime(2026, 11, 23, tzinfo=IST), datetime(2026, 11, 28, tzinfo=IST))
READABLE = {
    "equity_curve",
    "executed_orders",
    "instruments",
    "orders",
    "portfolios",
    "positions",
    "refusals",
    "runs",
    "scanner_results",
}


@pytest.fixture
def ledger(database: Database) -> Iterator[SqlLedger]:
    done = run_reader_sql(database)
    assert done.returncode == 0, done.stderr
    with SqlLedger(database.url) as ledger:
        yield ledger


@pytest.fixture
def grafana(database: Database, ledger: SqlLedger) -> Iterator[Connection]:
    with as_grafana(database) as connection:
        yield connection


def panel(grafana: Connection, title: str, *portfolios: str, chosen: TimeRange = WEEK) -> list[Json]:
    return asked(grafana, expand(panel_sql(title), chosen, portfolios))


def rupees(paise: int) -> Decimal:
    return Decimal(paise) / 100


def daily(ledger: SqlLedger, run: str, label: str) -> Json:
    """The row of Daily P&L that a finished run of one day makes."""
    numbers = ledger.run_summary(run)
    assert numbers.round_trips > 3, "too few trades to prove anything"
    assert numbers.net_pnl == numbers.gross_pnl - numbers.charges
    amounts = numbers.gross_pnl, numbers.charges, numbers.net_pnl
    return dict(zip(("Day", "Gross", "Charges", "Net"), (label, *map(rupees, amounts)), strict=True))


def curve(ledger: SqlLedger, *runs: str, before: datetime = WEEK.end) -> list[tuple[datetime, float]]:
    points = [
        (datetime.fromtimestamp(row.ts / 1e9, UTC), row.equity / 100) for run in runs for row in ledger.equity(run)
    ]
    return [point for point in points if point[0] < before]


def drawn(rows: list[Json], portfolio: str) -> list[tuple[datetime, float]]:
    return [(row["time"], row["equity"]) for row in rows if row["metric"] == portfolio]


def test_daily_pnl_is_what_the_runs_summaries_say(ledger: SqlLedger, grafana: Connection) -> None:
    first = trade(ledger, "main", MONDAY, 1)
    second = trade(ledger, "main", WEDNESDAY, 2)
    other = trade(ledger, "o'ther", MONDAY, 3)
    of_main = [daily(ledger, first, "23 Nov 2026 main"), daily(ledger, second, "25 Nov 2026 main")]
    assert panel(grafana, "Daily P&L", "main") == of_main
    of_other = daily(ledger, other, "23 Nov 2026 o'ther")
    assert panel(grafana, "Daily P&L", "main", "o'ther") == [of_main[0], of_other, of_main[1]]
    noon = TimeRange(datetime(2026, 11, 25, 12, tzinfo=IST), datetime(2026, 11, 25, 13, tzinfo=IST))
    assert panel(grafana, "Daily P&L", "main", chosen=noon) == of_main[1:], "a day is shown whole"
    assert panel(grafana, "Daily P&L") == [], "no portfolio is chosen"


def test_a_demo_day_that_was_run_again_counts_once(ledger: SqlLedger, grafana: Connection) -> None:
    trade(ledger, "main", MONDAY, 1)
    trade(ledger, "main", MONDAY, 2)
    last = trade(ledger, "main", MONDAY, 2, fresh=True)
    assert panel(grafana, "Daily P&L", "main") == [daily(ledger, last, "23 Nov 2026 main")]
    assert drawn(panel(grafana, "Portfolio Equity Chart", "main"), "main") == curve(ledger, last)


def test_two_runs_of_one_day_that_followed_each_other_both_count(ledger: SqlLedger, grafana: Connection) -> None:
    noon = time(12, 0)
    morning = trade(ledger, "main", MONDAY, 1, mode="paper", until=noon)
    afternoon = trade(ledger, "main", MONDAY, 2, mode="paper", start=noon)
    sold = [order for order in ledger.orders() if order.side == "SELL" and order.executed_at is not None]
    assert {order.run_id for order in sold} == {morning, afternoon}
    charges = sum(order.charges for order in ledger.orders())
    (row,) = panel(grafana, "Daily P&L", "main")
    assert row["Gross"] == rupees(sum(order.gross for order in sold))
    assert row["Charges"] == rupees(charges)
    assert drawn(panel(grafana, "Portfolio Equity Chart", "main"), "main") == curve(ledger, morning, afternoon)


def test_a_run_replaces_another_from_the_beginning_of_its_first_minute(ledger: SqlLedger, grafana: Connection) -> None:
    chosen = TimeRange(*(datetime(2025, 8, day, tzinfo=IST) for day in (1, 2)))
    ledger.begin(request())
    for block in islice(round_trips(), 4):
        ledger.commit(block)
    assert [row["Charges"] for row in panel(grafana, "Daily P&L", "main", chosen=chosen)] == [Decimal("4.90")]
    balance = ledger.begin(request(identity="another")).balance
    first_minutes_end = OPEN + 120 * NS
    ledger.commit(LedgerBlock(equity=[EquityRow(first_minutes_end, balance, balance)], balance=balance, moment=OPEN))
    assert panel(grafana, "Daily P&L", "main", chosen=chosen) == []
    assert len(panel(grafana, "Portfolio Equity Chart", "main", chosen=chosen)) == 1


def test_equity_is_drawn_for_every_chosen_portfolio(ledger: SqlLedger, grafana: Connection) -> None:
    runs = {name: trade(ledger, name, MONDAY, seed) for name, seed in (("main", 1), ("other", 2))}
    rows = panel(grafana, "Portfolio Equity Chart", "main", "other")
    for name, run in runs.items():
        assert drawn(rows, name) == curve(ledger, run)
    assert {row["metric"] for row in panel(grafana, "Portfolio Equity Chart", "other")} == {"other"}
    stamps = [row["time"] for row in rows]
    assert stamps == sorted(stamps), "Grafana takes a series in order of time only"


def test_trade_history_has_every_execution_the_newest_run_first(ledger: SqlLedger, grafana: Connection) -> None:
    trade(ledger, "main", MONDAY, 1)
    trade(ledger, "main", MONDAY, 2)
    wanted = [order for order in ledger.orders() if order.executed_at is not None]
    rows = panel(grafana, "Trade Execution History", "main")
    assert [row["Order"] for row in rows] == [order.order_id for order in wanted]
    assert len({row["Order"].rsplit("-", 1)[0] for row in rows}) == 2
    for row, order in zip(rows, wanted, strict=True):
        assert (row["Time"], row["Symbol"], row["Side"]) == (order.executed_at, order.symbol, order.side)
        assert (row["Quantity"], row["Reason"]) == (order.quantity, order.reason)
        assert (row["Value"], row["Charges"]) == (rupees(order.value), rupees(order.charges))
        earned = (rupees(order.gross), rupees(order.pnl)) if order.side == "SELL" else (None, None)
        assert (row["Gross P&L"], row["Net P&L"]) == earned
        assert abs(row["Price"] * row["Quantity"] - row["Value"]) < Decimal("0.01") * row["Quantity"]


def test_open_positions_are_the_ledgers(ledger: SqlLedger, grafana: Connection) -> None:
    trade(ledger, "main", MONDAY, 1, until_held=True)
    trade(ledger, "other", MONDAY, 2, until_held=True)
    held = ledger.positions("main")
    assert held
    assert panel(grafana, "Open Positions", "main") == [
        {
            "Portfolio": "main",
            "Symbol": position.symbol,
            "Quantity": position.quantity,
            "Average price": (rupees(position.buy_value) / position.quantity).quantize(Decimal("0.0001")),
            "Cost": rupees(position.buy_value),
            "Charges": rupees(position.buy_charges),
            "Opened at": datetime.fromtimestamp(position.opened_at.timestamp(), UTC),
        }
        for position in held
    ]


def test_top_picks_are_those_of_the_newest_scan_of_the_range(ledger: SqlLedger, grafana: Connection) -> None:
    ten = datetime(2026, 11, 24, 10, tzinfo=IST)
    picks = [ScanPick("NSE_EQ:TCS", 9.5e6, 3_456_05, 4_000_000), ScanPick("NSE_EQ:INFY", 12.25, 1_500_00, 7)]
    for minutes, found in ((0, [ScanPick("NSE_EQ:SBIN", 1.0, 1, 1)]), (5, picks)):
        ledger.save_scan(int((ten + timedelta(minutes=minutes)).timestamp()) * 10**9, found)
    ledger.save_scan(int(WEEK.end.timestamp() + 60) * 10**9, [ScanPick("NSE_EQ:LATER", 1.0, 1, 1)])
    assert [tuple(row.values()) for row in panel(grafana, "Scanner Top Picks")] == [
        (rank, pick.symbol, pick.score, rupees(pick.ltp), pick.volume, ten + timedelta(minutes=5))
        for rank, pick in enumerate(picks, start=1)
    ]


def test_the_variable_offers_every_portfolio(ledger: SqlLedger, grafana: Connection) -> None:
    for name in ("second", "main"):
        trade(ledger, name, MONDAY, 1, until=time(9, 20))
    (variable,) = dashboards()["trading"]["templating"]["list"]
    assert (variable["name"], variable["multi"]) == ("portfolio", True)
    assert [row["id"] for row in asked(grafana, variable["query"])] == ["main", "second"]


def test_a_new_ledger_shows_nothing_and_alarms_nobody(grafana: Connection) -> None:
    for shown in dashboards()["trading"]["panels"]:
        assert panel(grafana, shown["title"], "main") == []
    assert firing(grafana, "Not flat at square-off") == firing(grafana, "Daily loss") == set()


# Alerts.


def at(connection: Connection, database: Database, statement: str) -> set[tuple[str, ...]]:
    """Portfolios that "not flat" names after a change to the ledger."""
    with database.connect() as admin:
        assert admin.execute(statement.encode()).rowcount > 0
    return firing(connection, "Not flat at square-off")


def test_not_flat_fires_a_minute_after_the_square_off_of_the_portfolios_own_clock(
    database: Database, ledger: SqlLedger, grafana: Connection
) -> None:
    for portfolio in ("main", "flat"):
        trade(ledger, portfolio, MONDAY, 1, until_held=portfolio == "main")
    assert ledger.positions("main")
    clock = "UPDATE portfolios SET last_updated = '2026-11-23 {}+05:30'"
    assert at(grafana, database, clock.format("15:20:59")) == set()
    assert at(grafana, database, clock.format("15:21:00")) == {("main",)}
    assert at(grafana, database, clock.format("15:05:59")) == set()
    ledger.save_instruments(
        [replace(instrument_for(row.symbol), cas_eligible=True) for row in ledger.positions("main")]
    )
    assert at(grafana, database, clock.format("15:05:59")) == set()
    assert at(grafana, database, clock.format("15:06:00")) == {("main",)}


def test_not_flat_lets_an_evening_session_trade_and_finds_what_was_kept_overnight(
    database: Database, ledger: SqlLedger, grafana: Connection
) -> None:
    trade(ledger, "main", MONDAY, 1, until_held=True)
    evening = "UPDATE positions SET opened_at = '2026-11-23 18:10+05:30'"
    clock = "UPDATE portfolios SET last_updated = '2026-11-{}+05:30'"
    assert at(grafana, database, clock.format("23 18:30")) == {("main",)}
    assert at(grafana, database, evening) == set()
    assert at(grafana, database, clock.format("24 09:15")) == {("main",)}


def test_not_flat_fires_on_a_real_market_even_when_the_runtime_stands_still(
    database: Database, ledger: SqlLedger, grafana: Connection
) -> None:
    trade(ledger, "main", date(2026, 11, 20), 1, until_held=True)
    assert ledger.positions("main")
    assert firing(grafana, "Not flat at square-off") == set(), "a simulated market has a time of its own"
    assert at(grafana, database, "UPDATE portfolios SET mode = 'paper'") == {("main",)}


def test_daily_loss_counts_from_the_equity_that_the_day_began_with(
    database: Database, ledger: SqlLedger, grafana: Connection
) -> None:
    trade(ledger, "main", MONDAY, 1, until_held=True)

    def after(statement: str) -> set[tuple[str, ...]]:
        at(grafana, database, statement)
        return firing(grafana, "Daily loss")

    begun = CAPITAL // 100
    assert after(f"UPDATE portfolios SET equity = {begun} * 0.971") == set()
    assert after(f"UPDATE portfolios SET equity = {begun} * 0.969") == {("main",)}
    assert after(f"UPDATE equity_curve SET equity = {begun} * 0.97") == {("main",)}, "the run's first day"
    assert after("UPDATE portfolios SET last_updated = last_updated + interval '1 day'") == set()
    assert after(f"UPDATE equity_curve SET equity = {begun}") == {("main",)}


def test_daily_loss_of_a_real_day_ends_with_the_day_and_of_any_with_the_run(
    database: Database, ledger: SqlLedger, grafana: Connection
) -> None:
    trade(ledger, "main", date(2026, 11, 20), 1, mode="paper", until_held=True)
    at(grafana, database, "UPDATE portfolios SET equity = 1")
    assert firing(grafana, "Daily loss") == set()
    at(grafana, database, "UPDATE portfolios SET last_updated = now()")
    assert firing(grafana, "Daily loss") == {("main",)}
    at(grafana, database, "UPDATE runs SET state = 'complete'")
    assert firing(grafana, "Daily loss") == set()


# The user.


def readable(database: Database) -> set[str]:
    """Tables that Grafana's user can really read."""
    found = set()
    with database.connect() as admin:
        names = [str(name) for (name,) in admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert {*metadata.tables, "api_keys"} <= set(names)
    with as_grafana(database) as connection:
        for name in names:
            try:
                connection.execute(f"SELECT * FROM {name} LIMIT 1".encode())
            except InsufficientPrivilege:
                continue
            found.add(name)
    return found


def make_keys(database: Database) -> None:
    with database.connect() as admin:
        admin.execute("CREATE TABLE IF NOT EXISTS api_keys (secret_hash text)")


def test_grafana_reads_the_tables_of_the_list_and_never_a_key(database: Database, ledger: SqlLedger) -> None:
    make_keys(database)
    assert readable(database) == READABLE


def test_the_reader_may_come_after_the_tables_and_twice(database: Database) -> None:
    SqlLedger(database.url).close()
    make_keys(database)
    for password in ("first", PASSWORD):
        done = run_reader_sql(database, password)
        assert done.returncode == 0, done.stderr
    with database.connect() as admin:
        admin.execute("GRANT SELECT ON api_keys TO grafana_reader")
    run_reader_sql(database)
    assert readable(database) == READABLE


def test_grafana_cannot_write(database: Database, ledger: SqlLedger, grafana: Connection) -> None:
    with pytest.raises(ReadOnlySqlTransaction):
        grafana.execute("DELETE FROM orders")
    grafana.execute("SET default_transaction_read_only = off")
    for statement in ("DELETE FROM orders", "CREATE TABLE public.x (a int)", "CREATE TEMPORARY TABLE x (a int)"):
        with pytest.raises(InsufficientPrivilege):
            grafana.execute(statement)


@pytest.mark.parametrize("password", [None, ""])
def test_without_a_password_no_user_is_made(database: Database, password: str | None) -> None:
    done = run_reader_sql(database, password)
    assert done.returncode != 0
    assert "GRAFANA_DB_PASSWORD is not set" in done.stderr
    with database.connect() as admin:
        assert admin.execute("SELECT 1 FROM pg_event_trigger").fetchall() == []
