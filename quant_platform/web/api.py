"""``/api/v1``: what the platform knows, to be read by other programs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute

from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import UsageError
from quant_platform.domain.records import EnrichedRecord
from quant_platform.ports.ledger_views import (
    EquityPlace,
    InstrumentPlace,
    LedgerPages,
    OrderFilter,
    OrderPlace,
    ScanPlace,
)
from quant_platform.ports.series_store import CANDLES_1M, TICKS, Place, SeriesReader
from quant_platform.services.api_gateway import shapes
from quant_platform.services.api_gateway.cursors import CandlePlace, TickPlace, make_cursor, read_cursor
from quant_platform.web import parameters
from quant_platform.web.docs_page import docs_page
from quant_platform.web.door import Admit, Door, bearer
from quant_platform.web.live import LiveEvents, live_router
from quant_platform.web.measured import Measured, Observe
from quant_platform.web.problems import RequestError, handle_problems

DESCRIPTION = """\
Every path but `/healthz` needs `Authorization: Bearer quant_…`; `quant api-key new` makes a key. To look takes the
scope `read`; `halt`, `resume` and `squareoff` take `trade`.
Amounts are rupees as numbers with two decimals, times are IST with their offset.
Long lists come in pages: hand `next_cursor` back as `cursor`, with the same filters, until it is null.
What arrives meanwhile shifts no page. Errors are problem details (RFC 9457): what happened, and the cure.
The WebSocket `/api/v1/ws` (`?portfolio=…` for one) sends each step of an order when it is durable, as
`{"event": "order", "data": {…}}`; what happened before or between two connections is in `orders`.
"""

PREFIX = "/api/v1"

_NO_PORTFOLIO: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such portfolio"}}
_LAST_NS = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")
P = TypeVar("P", bound=tuple[Any, ...])


class Listing(BaseModel, Generic[T]):
    """All there is."""

    items: list[T]


class Page(BaseModel, Generic[T]):
    """A page; ``next_cursor`` asks for the next one and is null on the last."""

    items: list[T]
    next_cursor: str | None


class Quotes(BaseModel):
    """The quotes that are known, and the symbols of which nothing is."""

    items: list[shapes.Quote]
    missing: list[str]


@dataclass(frozen=True)
class Sources:
    """Where the answers come from.

    Attributes:
        ledger: raises :class:`UnavailableError` while it is away.
        series: stored ticks.
        command: ``(order, reason, token shown, portfolio or None for all)`` orders a halt, and gives the portfolios'
            names; raises :class:`UsageError` where there is no such portfolio.
        quotes: symbol → newest tick, of those that the cache knows.
        services: how each service is, asked now.
        strategies: those that come with the platform.
        live: hands out what happens.
    """

    ledger: Callable[[], LedgerPages]
    command: Callable[[Halt, str, str, str | None], Sequence[str]]
    series: SeriesReader
    quotes: Callable[[Sequence[str]], Mapping[str, EnrichedRecord]]
    services: Callable[[], Awaitable[Sequence[shapes.ServiceState]]]
    strategies: Sequence[shapes.StrategyKind]
    live: LiveEvents


def make_app(sources: Sources, admit: Admit, routes: Sequence[BaseRoute], observe: Observe) -> FastAPI:
    """The API as an ASGI application.

    Args:
        sources: of its answers.
        admit: judges the key of every request.
        routes: further ones, behind the same door: ``/healthz``, ``/readyz``, ``/metrics``.
        observe: told of every request.
    """
    # FastAPI's own page of documentation would load its scripts from elsewhere.
    app = FastAPI(
        title="Quant Platform", version="1", description=DESCRIPTION, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.include_router(_of_the_ledger(sources.ledger))
    app.include_router(_of_the_market(sources))
    app.include_router(_of_the_owner(sources))
    app.include_router(live_router(PREFIX, sources.live))
    app.router.routes.extend(routes)
    handle_problems(app)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    app.add_middleware(Door, admit=admit)
    app.add_middleware(Measured, observe=observe)
    return app


def _of_the_ledger(ledger: Callable[[], LedgerPages]) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.get("/portfolios", tags=["ledger"])
    def portfolios(_: Annotated[parameters.Nothing, Query()]) -> Listing[shapes.Portfolio]:
        """Every portfolio as it stands."""
        return Listing(items=[shapes.portfolio(view) for view in ledger().portfolios()])

    @router.get("/positions", tags=["ledger"], responses=_NO_PORTFOLIO)
    def positions(asked: Annotated[parameters.OfPortfolio, Query()]) -> Listing[shapes.Position]:
        """Open positions, by portfolio and symbol."""
        views = ledger().positions(asked.portfolio)
        if not views:
            _require_portfolio(ledger(), asked.portfolio)
        return Listing(items=[shapes.position(view) for view in views])

    @router.get("/orders", tags=["ledger"], responses=_NO_PORTFOLIO)
    def orders(asked: Annotated[parameters.OrdersAsked, Query()]) -> Page[shapes.Order]:
        """Approved orders and what became of them, the last decided first."""
        wanted = OrderFilter(asked.portfolio, asked.run, asked.symbol, asked.state)
        after = _place(asked, "orders", OrderPlace)
        rows = ledger().order_page(wanted, after, asked.limit + 1)
        if not rows:
            _require_portfolio(ledger(), asked.portfolio)
        return _page(asked, "orders", [(place, shapes.order(view)) for place, view in rows])

    @router.get("/equity", tags=["ledger"], responses=_NO_PORTFOLIO)
    def equity(asked: Annotated[parameters.EquityAsked, Query()]) -> Page[shapes.Equity]:
        """The equity curve of a portfolio, the newest point first."""
        after = _place(asked, "equity", EquityPlace)
        rows = ledger().equity_page(asked.portfolio, asked.run, after, asked.limit + 1)
        if not rows:
            _require_portfolio(ledger(), asked.portfolio)
        return _page(asked, "equity", [(place, shapes.equity(point)) for place, point in rows])

    @router.get("/scanner", tags=["ledger"])
    def scanner(asked: Annotated[parameters.Paged, Query()]) -> Page[shapes.ScannerResult]:
        """What the scanner picked, the newest scan first."""
        rows = ledger().scan_page(_place(asked, "scanner", ScanPlace), asked.limit + 1)
        return _page(asked, "scanner", [(place, shapes.scanner_result(scan)) for place, scan in rows])

    @router.get("/instruments", tags=["market"])
    def instruments(asked: Annotated[parameters.InstrumentsAsked, Query()]) -> Page[shapes.Instrument]:
        """The securities of the broker's list as the ingestor stored it last, by symbol."""
        rows = ledger().instrument_page(asked.symbol, _place(asked, "instruments", InstrumentPlace), asked.limit + 1)
        return _page(asked, "instruments", [(place, shapes.instrument(view)) for place, view in rows])

    return router


def _of_the_owner(sources: Sources) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["orders of the owner"], responses=_NO_PORTFOLIO)

    def ordered(order: Halt, asked: parameters.Ordered, request: Request) -> Listing[shapes.Portfolio]:
        try:
            names = sources.command(order, asked.reason, bearer(request.headers) or "", asked.portfolio)
        except UsageError as error:
            raise RequestError(404, error.what, error.cure, "portfolio") from None
        return Listing(items=[shapes.portfolio(view) for view in sources.ledger().portfolios() if view.name in names])

    @router.post("/halt")
    def halt(asked: Annotated[parameters.Ordered, Query()], request: Request) -> Listing[shapes.Portfolio]:
        """Make no entries any more, until `resume`. Pending ones are cancelled; exits go on."""
        return ordered(Halt.NO_ENTRIES, asked, request)

    @router.post("/resume")
    def resume(asked: Annotated[parameters.Ordered, Query()], request: Request) -> Listing[shapes.Portfolio]:
        """Trade again after `halt` or `squareoff`."""
        return ordered(Halt.NONE, asked, request)

    @router.post("/squareoff")
    def squareoff(asked: Annotated[parameters.Ordered, Query()], request: Request) -> Listing[shapes.Portfolio]:
        """Sell everything now, and make no entries any more, until `resume`."""
        return ordered(Halt.OUT, asked, request)

    return router


def _of_the_market(sources: Sources) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.get("/quotes", tags=["market"])
    def quotes(asked: Annotated[parameters.QuotesAsked, Query()]) -> Quotes:
        """The latest quote of each symbol: from the cache, or the newest stored tick where that does not know one."""
        symbols = list(dict.fromkeys(asked.symbol))
        cached = sources.quotes(symbols)
        found = []
        for symbol in symbols:
            if symbol in cached:
                found.append(shapes.quote(cached[symbol]))
            else:
                newest = shapes.ticks(sources.series.newest(TICKS, symbol, 1))
                found += [shapes.stored_quote(tick) for tick in newest]
        return Quotes(items=found, missing=shapes.missing(symbols, found))

    @router.get("/ticks", tags=["market"])
    def ticks(asked: Annotated[parameters.SeriesAsked, Query()]) -> Page[shapes.Tick]:
        """Stored ticks of a symbol with their features, the oldest first."""
        after = _place(asked, "ticks", TickPlace)
        start = Place(_ns(asked.start, 0)) if after is None else Place(*after)
        rows = sources.series.between(TICKS, asked.symbol, start, _ns(asked.end, _LAST_NS), asked.limit + 1)
        return _page_of_series(asked, "ticks", shapes.ticks(rows), lambda tick: TickPlace(tick.ts, tick.seq))

    @router.get("/candles", tags=["market"])
    def candles(asked: Annotated[parameters.SeriesAsked, Query()]) -> Page[shapes.Candle]:
        """Stored one-minute candles of a symbol, the oldest first; the data_backfiller and live bars bring them."""
        after = _place(asked, "candles", CandlePlace)
        start = Place(_ns(asked.start, 0) if after is None else after.timestamp)
        rows = sources.series.between(CANDLES_1M, asked.symbol, start, _ns(asked.end, _LAST_NS), asked.limit + 1)
        return _page_of_series(asked, "candles", shapes.candles(rows), lambda candle: CandlePlace(candle.ts))

    @router.get("/strategies", tags=["platform"])
    def strategies(_: Annotated[parameters.Nothing, Query()]) -> Listing[shapes.StrategyKind]:
        """The strategies that come with the platform, and what can be set."""
        return Listing(items=list(sources.strategies))

    @router.get("/services", tags=["platform"])
    async def services(_: Annotated[parameters.Nothing, Query()]) -> Listing[shapes.ServiceState]:
        """How each service is, asked now."""
        return Listing(items=list(await sources.services()))

    return router


def _filters(asked: parameters.Paged) -> dict[str, Any]:
    """What a cursor belongs to: all but where the page starts and how long it is."""
    return asked.model_dump(mode="json", exclude={"limit", "cursor"})


def _place(asked: parameters.Paged, listing: str, kind: type[P]) -> P | None:
    try:
        return read_cursor(asked.cursor, listing, _filters(asked), kind)
    except UsageError as error:
        raise RequestError(422, error.what, error.cure, "cursor") from None


def _page(asked: parameters.Paged, listing: str, rows: Sequence[tuple[tuple[Any, ...], T]]) -> Page[T]:
    """A page from one row more than it holds, where there is one."""
    shown = rows[: asked.limit]
    more = len(rows) > asked.limit
    following = make_cursor(listing, _filters(asked), shown[-1][0]) if more else None
    return Page(items=[row for _, row in shown], next_cursor=following)


def _page_of_series(
    asked: parameters.SeriesAsked, listing: str, items: list[T], place_of: Callable[[T], tuple[Any, ...]]
) -> Page[T]:
    """A page from one row more than it holds, where there is one: with that the next page begins."""
    more = len(items) > asked.limit
    following = make_cursor(listing, _filters(asked), place_of(items.pop())) if more else None
    return Page(items=items, next_cursor=following)


def _require_portfolio(ledger: LedgerPages, name: str | None) -> None:
    names = [view.name for view in ledger.portfolios()]
    if name is not None and name not in names:
        raise RequestError(
            404, f"there is no portfolio {name!r}", f"the ledger has {', '.join(names) or 'none'}", "portfolio"
        )


def _ns(moment: datetime | None, otherwise: int) -> int:
    """A moment in ns UTC, held within what a stamp can be."""
    if moment is None:
        return otherwise
    return min(max((moment - _EPOCH) // timedelta(microseconds=1) * 1000, 0), _LAST_NS)
