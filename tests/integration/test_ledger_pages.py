"""Pages of the ledger, in a file and in Postgres: every row once, in order, whatever the length of a page."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.instruments import instrument_for
from quant_platform.ports.ledger_views import OrderFilter, ScanPick

from .ledger_days import NS, OPEN, cancelled_entry, ledger_file, request, round_trips

PICK = ScanPick("NSE_EQ:TCS", 2.5, 140_00, 10)
Page = Callable[[Any, int], Sequence[tuple[Any, Any]]]


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    return ledger_file(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("database").url)


@pytest.fixture
def pages(where: str | Path) -> Iterator[GatewayLedger]:
    """Two portfolios on the same moments, the second one's run twice; a cancelled order; three scans."""
    with SqlLedger(where) as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), 6):
            ledger.commit(block)
        for identity in ("1", "2"):
            ledger.begin(request(portfolio="other", identity=identity, mode="replay"))
            for block in cancelled_entry():
                ledger.commit(block)
            for block in islice(round_trips(first_order=3), 2):
                ledger.commit(block)
        ledger.save_instruments([instrument_for(f"NSE_EQ:{name}") for name in ("TCS", "INFY", "WIPRO", "ITC", "SBIN")])
        for number in range(3):
            ledger.save_scan(OPEN + number * 300 * NS, [PICK, PICK._replace(symbol="NSE_EQ:INFY", score=9.5)])
    with GatewayLedger(where) as ledger:
        yield ledger


def walk(page: Page, limit: int) -> list[Any]:
    """Every row, page by page."""
    found: list[Any] = []
    after = None
    while rows := page(after, limit):
        assert len(rows) <= limit
        found += [row for _, row in rows]
        after = rows[-1][0]
    return found


def test_pages_of_any_length_make_the_same_list(pages: GatewayLedger) -> None:
    listings: dict[str, Page] = {
        "orders": lambda after, limit: pages.order_page(OrderFilter(), after, limit),
        "equity": lambda after, limit: pages.equity_page("other", None, after, limit),
        "scans": pages.scan_page,
    }
    for name, page in listings.items():
        whole = [row for _, row in page(None, 1000)]
        for limit in (1, 2, 3, len(whole)):
            assert walk(page, limit) == whole, (name, limit)
    assert [len(page(None, 1000)) for page in listings.values()] == [6 + 2 * 3, 2 * 2, 3]


def test_orders_come_the_last_decided_first_those_of_one_moment_by_run_and_number(pages: GatewayLedger) -> None:
    places = [place for place, _ in pages.order_page(OrderFilter(), None, 1000)]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == len(places)
    moments = [place.ts for place in places]
    assert len(set(moments)) < len(moments), "equal moments are what the order is about"


def test_filters_take_their_orders_and_no_others(pages: GatewayLedger) -> None:
    def ids(*wanted: str | None) -> set[str]:
        return {order.order_id for _, order in pages.order_page(OrderFilter(*wanted), None, 1000)}

    everything = ids()
    main, other = ids("main"), ids("other")
    assert main | other == everything
    assert not main & other
    [run] = {order.run_id for _, order in pages.order_page(OrderFilter("main"), None, 1000)}
    assert ids(None, run) == main
    assert ids(None, None, "NSE_EQ:INFY") == ids(None, None, None, "cancelled")
    assert len(ids("other", None, None, "cancelled")) == 2
    assert ids("main", None, "NSE_EQ:INFY") == ids("nobody") == set()


def test_equity_is_of_one_portfolio_and_where_asked_of_one_run(pages: GatewayLedger) -> None:
    points = [point for _, point in pages.equity_page("other", None, None, 1000)]
    assert {point.portfolio for point in points} == {"other"}
    runs = sorted({point.run_id for point in points})
    assert len(runs) == 2
    assert [point for _, point in pages.equity_page("other", runs[0], None, 1000)] == [
        point for point in points if point.run_id == runs[0]
    ]
    assert pages.equity_page("main", runs[0], None, 1000) == []


def test_a_scan_is_whole_however_short_the_page(pages: GatewayLedger) -> None:
    [(place, scan)] = pages.scan_page(None, 1)
    assert [pick.symbol for pick in scan.picks] == ["NSE_EQ:INFY", "NSE_EQ:TCS"]
    assert scan.picks[1] == PICK
    assert place.at == scan.at
    assert [earlier.at for _, earlier in pages.scan_page(place, 10)] == sorted(
        (earlier.at for _, earlier in pages.scan_page(place, 10)), reverse=True
    )
    assert all(earlier.at < scan.at for _, earlier in pages.scan_page(place, 10))


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_instruments_come_by_symbol(pages: GatewayLedger, limit: int) -> None:
    found = walk(lambda after, most: pages.instrument_page(None, after, most), limit)
    assert [row.symbol for row in found] == [f"NSE_EQ:{name}" for name in ("INFY", "ITC", "SBIN", "TCS", "WIPRO")]
    known = instrument_for("NSE_EQ:ITC")
    assert (found[1].instrument_token, found[1].tick_size, found[1].lot_size) == (
        known.instrument_key,
        known.tick_size,
        known.lot_size,
    )


def test_one_instrument_can_be_asked_for(pages: GatewayLedger) -> None:
    assert [row.symbol for _, row in pages.instrument_page("NSE_EQ:SBIN", None, 10)] == ["NSE_EQ:SBIN"]
    assert pages.instrument_page("NSE_EQ:NONE", None, 10) == []
