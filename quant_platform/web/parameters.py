"""The parameters of the API's questions: their types, limits and what they mean."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import full_symbol
from quant_platform.domain.session import IST
from quant_platform.services.api_gateway.cursors import MAX_CURSOR

DEFAULT_ROWS = 100
MOST_ROWS = 1000
MOST_SYMBOLS = 100


def _full(symbol: str) -> str:
    try:
        return full_symbol(symbol)
    except DataError as error:
        raise ValueError(str(error)) from None


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(
            "write a time like 2026-08-03T09:15:00+05:30, the + as %2B in an address; without an offset it is IST"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Symbol = Annotated[
    str,
    Field(pattern=r"^([A-Z]{2,5}_[A-Z]{2,6}:)?[A-Za-z0-9&._-]{1,50}$", examples=["NSE_EQ:RELIANCE"]),
    AfterValidator(_full),
]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Cursor = Annotated[str, Field(max_length=MAX_CURSOR, description="`next_cursor` of the page before")]
PortfolioName = Annotated[Name, Field(description="Only of this portfolio")]
RunName = Annotated[Name, Field(description="Only of the run with this id")]


class Nothing(BaseModel):
    """No parameters; one that is given is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


class Paged(Nothing):
    """A page at a time."""

    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="Rows of a page")
    cursor: Cursor | None = None


class OfPortfolio(Nothing):
    """Of one portfolio, or of all."""

    portfolio: PortfolioName | None = None


class Ordered(Nothing):
    """To which portfolio something is ordered, and why; to all where none is named."""

    portfolio: Annotated[Name, Field(description="Only to this portfolio")] | None = None
    reason: Annotated[Name, Field(description="Why: kept in the audit log, and shown while it holds")] = "by hand"


class OrdersAsked(Paged):
    """Which orders."""

    portfolio: PortfolioName | None = None
    run: RunName | None = None
    symbol: Symbol | None = None
    state: Literal["pending", "filled", "cancelled", "refused_at_fill"] | None = None


class EquityAsked(Paged):
    """Whose equity curve."""

    portfolio: PortfolioName
    run: RunName | None = None


class SeriesAsked(Paged):
    """Which rows of a symbol."""

    symbol: Symbol
    start: Moment | None = Field(None, alias="from", description="First stamp; without it from the oldest stored")
    end: Moment | None = Field(None, alias="to", description="Stamps before this one; without it to the newest")


class InstrumentsAsked(Paged):
    """Which securities."""

    symbol: Symbol | None = None


class QuotesAsked(Nothing):
    """Whose quotes."""

    symbol: list[Symbol] = Field(min_length=1, max_length=MOST_SYMBOLS, description="Repeat it for several")
