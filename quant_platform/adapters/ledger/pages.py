"""The ledger a page at a time, by place and not by number: what arrives meanwhile moves no page."""

from itertools import groupby
from typing import Any

from sqlalchemy import Select, select, tuple_

from quant_platform.adapters.ledger.columns import moment
from quant_platform.adapters.ledger.tables import equity_curve, instruments, orders, scanner_results
from quant_platform.adapters.ledger.views import LedgerDatabase, order_view, select_orders
from quant_platform.ports.ledger_views import (
    EquityPlace,
    EquityPoint,
    InstrumentPlace,
    InstrumentView,
    OrderFilter,
    OrderPlace,
    OrderView,
    Scan,
    ScanPick,
    ScanPlace,
)


class PagedLedger(LedgerDatabase):
    """Reads pages (:class:`~quant_platform.ports.ledger_views.LedgerPages`); threads may share it."""

    def order_page(
        self, wanted: OrderFilter, after: OrderPlace | None, limit: int
    ) -> list[tuple[OrderPlace, OrderView]]:
        """At most so many orders, the last decided first.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        place = (orders.c.ts_ns, orders.c.run_id, orders.c.order_no)
        query = select_orders().add_columns(orders.c.ts_ns, orders.c.order_no)
        columns = (orders.c.portfolio_id, orders.c.run_id, orders.c.symbol, orders.c.state)
        for column, value in zip(columns, wanted, strict=True):
            if value is not None:
                query = query.where(column == value)
        found = []
        with self._reading() as connection:
            for *view, ts, order_no in connection.execute(_page(query, place, after, limit)):
                order = order_view(tuple(view))
                found.append((OrderPlace(ts, order.run_id, order_no), order))
        return found

    def equity_page(
        self, portfolio: str, run: str | None, after: EquityPlace | None, limit: int
    ) -> list[tuple[EquityPlace, EquityPoint]]:
        """At most so many points of a portfolio's equity curve, the newest first.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        point = equity_curve.c
        query = select(point.portfolio_id, point.run_id, point.ts_ns, point.balance, point.equity)
        query = query.where(point.portfolio_id == portfolio)
        if run is not None:
            query = query.where(point.run_id == run)
        # ``timestamp`` says no more than ``ts_ns``, and is what the portfolio's index is ordered by.
        start = None if after is None else (moment(after.ts), *after)
        query = _page(query, (point.timestamp, point.ts_ns, point.run_id), start, limit)
        with self._reading() as connection:
            return [(EquityPlace(row.ts_ns, row.run_id), EquityPoint(*row)) for row in connection.execute(query)]

    def instrument_page(
        self, symbol: str | None, after: InstrumentPlace | None, limit: int
    ) -> list[tuple[InstrumentPlace, InstrumentView]]:
        """At most so many securities, or the one, by symbol.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        listed = instruments.c
        query = select(*(listed[name] for name in InstrumentView._fields)).order_by(listed.symbol).limit(limit)
        if symbol is not None:
            query = query.where(listed.symbol == symbol)
        if after is not None:
            query = query.where(listed.symbol > after.symbol)
        with self._reading() as connection:
            return [(InstrumentPlace(row.symbol), InstrumentView(*row)) for row in connection.execute(query)]

    def scan_page(self, after: ScanPlace | None, limit: int) -> list[tuple[ScanPlace, Scan]]:
        """At most so many scans, the newest first.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        pick = scanner_results.c
        moments = select(pick.timestamp).distinct().order_by(pick.timestamp.desc()).limit(limit)
        if after is not None:
            moments = moments.where(pick.timestamp < after.at)
        query = (
            select(pick.timestamp, pick.symbol, pick.score, pick.ltp, pick.volume)
            .where(pick.timestamp.in_(moments))
            .order_by(pick.timestamp.desc(), pick.score.desc(), pick.symbol)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        scans = groupby(rows, key=lambda row: row.timestamp)
        return [(ScanPlace(at), Scan(at, [ScanPick(*row[1:]) for row in picks])) for at, picks in scans]


def _page(query: Select[Any], place: tuple[Any, ...], after: tuple[Any, ...] | None, limit: int) -> Select[Any]:
    """The rows that come after a place, the greatest place first."""
    if after is not None:
        query = query.where(tuple_(*place) < tuple_(*after, types=[column.type for column in place]))
    return query.order_by(*(column.desc() for column in place)).limit(limit)
