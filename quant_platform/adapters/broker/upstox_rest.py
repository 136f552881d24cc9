"""Upstox's REST API as the platform uses it: quotes, candles, instruments, profile, status, feed URL."""

import gzip
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
import structlog

from quant_platform.adapters.broker.upstox_transport import TokenSource, UpstoxTransport
from quant_platform.domain.errors import BrokerError, DataError, UnavailableError
from quant_platform.domain.instruments import EQUITY_SEGMENT, Instrument, full_symbol
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.session import ist_date
from quant_platform.domain.ticks import NS_PER_MS, NS_PER_SECOND
from quant_platform.ports.broker import Candle, Quote
from quant_platform.ports.clock import Clock
from quant_platform.protocol.upstox import codes, limits, paths

T = TypeVar("T")

COMMONEST_TICK_SIZE = 5.0
"""Paise, where the instruments file names none."""

_GZIP_MAGIC = b"\x1f\x8b"
_ONE_DAY = timedelta(days=1)
_KEY_CODES = frozenset({codes.INVALID_KEY, codes.INVALID_QUOTE_KEY, codes.MISSING_KEY, "UDAPI1011", "UDAPI100095"})
"""Refusals that one key among many can cause."""

_log = structlog.get_logger(__name__)


class Profile(msgspec.Struct, frozen=True):
    """Whose token it is."""

    user_id: str
    user_name: str = ""
    is_active: bool = True
    exchanges: tuple[str, ...] = ()


class MarketStatus(NamedTuple):
    """What the exchange says it is doing."""

    exchange: str
    status: str  # NORMAL_OPEN, NORMAL_CLOSE, …
    updated_ns: int  # ns UTC


class _Reply(msgspec.Struct, Generic[T]):
    data: T


class _Ltp(msgspec.Struct):
    instrument_token: str
    last_price: float
    volume: int | None = None
    cp: float | None = None


class _Candle(msgspec.Struct, array_like=True):
    start: Annotated[datetime, msgspec.Meta(tz=True)]
    open: float
    high: float
    low: float
    close: float
    volume: int


class _Candles(msgspec.Struct):
    candles: list[_Candle]


class _Status(msgspec.Struct):
    exchange: str
    status: str
    last_updated: int = 0


class _FeedUrl(msgspec.Struct):
    authorized_redirect_uri: str = ""
    camel: str = msgspec.field(name="authorizedRedirectUri", default="")


class _FileRow(msgspec.Struct):
    segment: str
    instrument_key: str
    trading_symbol: str | None = None
    instrument_type: str | None = None
    isin: str | None = None
    name: str | None = None
    tick_size: float | None = None  # paise
    lot_size: int | None = None
    cas_eligible: bool | None = None  # there only when true


class UpstoxRest:
    """The calls, each one request or as many as the broker's limits make of it.

    Args:
        base_url: ``https://api.upstox.com``, or a simulator's URL.
        token: where the access token is read, anew on every call.
        clock: of the market: rate limits, pauses and "today" are its.
        files_url: host of the instruments files; by default Upstox's own beside Upstox, else ``base_url``.
        attempts: tries of one request altogether.
        timeout_s: for each try, seconds of the wall.

    Every call raises as :meth:`.UpstoxTransport.get` does; an answer of unknown shape is an UnavailableError.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        clock: Clock,
        *,
        files_url: str = "",
        attempts: int = 5,
        timeout_s: float = 10.0,
    ) -> None:
        self._transport = UpstoxTransport(base_url, token, clock, attempts=attempts, timeout_s=timeout_s)
        self._clock = clock
        own_files = paths.FILES_HOST if self._transport.base_url == paths.API_HOST else self._transport.base_url
        self._files_url = files_url.rstrip("/") or own_files
        self._refused_keys: set[str] = set()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.close()

    async def profile(self) -> Profile:
        """The user behind the token: the cheapest way to learn whether it is accepted."""
        return _decode(paths.PROFILE, await self._transport.get(paths.PROFILE), Profile)

    async def market_status(self, exchange: str = "NSE") -> MarketStatus:
        """What the exchange is doing now."""
        path = f"{paths.MARKET_STATUS}/{exchange}"
        status = _decode(path, await self._transport.get(path), _Status)
        return MarketStatus(status.exchange, status.status, status.last_updated * NS_PER_MS)

    async def authorize_feed(self) -> str:
        """A URL that opens the market data feed once; asked for once, since the feed has pauses of its own."""
        path = paths.FEED_V3 + paths.AUTHORIZE
        answer = _decode(path, await self._transport.get(path, attempts=1), _FeedUrl)
        url = answer.authorized_redirect_uri or answer.camel
        if not url:
            raise UnavailableError("Upstox authorized the feed without telling its URL", "try again")
        return url

    async def quotes(self, instruments: Sequence[Instrument]) -> list[Quote]:
        """Quotes in the order asked for; instruments without one are left out.

        A key that the broker refuses fails its whole batch: it is found, reported once and not asked again.
        """
        wanted = {i.instrument_key: i.symbol for i in instruments if i.instrument_key not in self._refused_keys}
        keys = list(wanted)
        answers: dict[str, _Ltp] = {}
        refused: set[str] = set()
        for start in range(0, len(keys), limits.KEYS_PER_QUOTE):
            rows = await self._last_prices(keys[start : start + limits.KEYS_PER_QUOTE], refused)
            answers |= {row.instrument_token: row for row in rows}
        if refused:
            _log.warning("the broker does not know some instrument keys", keys=sorted(refused))
        if answers:  # where every key is refused the keys are hardly to blame
            self._refused_keys |= refused
        return [
            Quote(
                symbol,
                _paise(answers[key].last_price),
                _paise(answers[key].cp or 0),
                answers[key].volume or 0,
            )
            for key, symbol in wanted.items()
            if key in answers
        ]

    async def _last_prices(self, keys: list[str], refused: set[str]) -> list[_Ltp]:
        """LTP rows of at most 500 keys; a batch that fails is halved until its bad key stands alone."""
        try:
            body = await self._transport.get(paths.LTP_V3, {"instrument_key": ",".join(keys)})
        except BrokerError as error:
            if error.code not in _KEY_CODES:
                raise
            if len(keys) > 1:
                half = len(keys) // 2
                first = await self._last_prices(keys[:half], refused)
                return first + await self._last_prices(keys[half:], refused)
            refused.add(keys[0])
            return []
        return list(_decode(paths.LTP_V3, body, dict[str, _Ltp]).values())

    async def history(self, instrument: Instrument, first: date, last: date) -> list[Candle]:
        """One-minute candles of past days, oldest first, both dates included; today is left out."""
        last = min(last, ist_date(self._clock.now_ns()) - _ONE_DAY)
        found: dict[int, Candle] = {}
        for span_first, span_last in limits.candle_spans("minutes", 1, first, last):
            candles = await self.candles(instrument, "minutes", 1, span_first, span_last)
            found |= {candle.ts: candle for candle in candles}
        return [found[ts] for ts in sorted(found)]

    async def candles(self, instrument: Instrument, unit: str, interval: int, first: date, last: date) -> list[Candle]:
        """One request for candles of past days as the broker has them, oldest first: doubled ones are doubled.

        Args:
            instrument: of the candles.
            unit: minutes, hours or days.
            interval: how many of them.
            first: IST date.
            last: IST date, included; not too far from the first (:func:`.earliest_from`).
        """
        return await self._candles(paths.history(instrument.instrument_key, unit, interval, last, first))

    async def intraday(self, instrument: Instrument) -> list[Candle]:
        """One-minute candles of the current day so far, oldest first; the running minute may be there."""
        return await self._candles(paths.intraday(instrument.instrument_key, "minutes", 1))

    async def _candles(self, path: str) -> list[Candle]:
        body = await self._transport.get(path, authorised=False)
        rows = _decode(path, body, _Candles).candles
        return sorted(
            Candle(
                int(row.start.timestamp()) * NS_PER_SECOND,
                _paise(row.open),
                _paise(row.high),
                _paise(row.low),
                _paise(row.close),
                row.volume,
            )
            for row in rows
        )

    async def instruments(self) -> list[Instrument]:
        """All NSE equities of the daily file, by symbol."""
        path = paths.instrument_file("NSE")
        body = await self._transport.get(path, host=self._files_url, authorised=False)
        try:
            plain = gzip.decompress(body) if body.startswith(_GZIP_MAGIC) else body
            rows = msgspec.json.decode(plain, type=list[_FileRow], strict=False)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise UnavailableError(f"the instruments file {path} cannot be read ({error})", "try again") from None
        return sorted(_equities(rows), key=lambda instrument: instrument.symbol)


def _equities(rows: Iterable[_FileRow]) -> Iterable[Instrument]:
    """Shares in the EQ series. Funds and bonds stand in the same segment: only the ISIN tells them apart.

    A share's ISIN starts with INE and has issue type 01; a simulated security may have none.
    """
    for row in rows:
        isin = row.isin or ""
        is_share = not isin or (isin.startswith("INE") and isin[7:9] == "01")
        if row.segment != EQUITY_SEGMENT or row.instrument_type != "EQ" or not is_share:
            continue
        try:
            symbol = full_symbol(row.trading_symbol or "")
        except DataError as error:
            _log.warning("a row of the instruments file is left out", key=row.instrument_key, reason=error.what)
            continue
        yield Instrument(
            symbol=symbol,
            instrument_key=row.instrument_key,
            isin=isin,
            name=row.name or "",
            industry="",
            tick_size=max(round(row.tick_size or COMMONEST_TICK_SIZE), 1),
            lot_size=row.lot_size or 1,
            cas_eligible=bool(row.cas_eligible),
            reference_price=0,
        )


def _paise(rupees: float) -> int:
    return round(rupees * PAISE_PER_RUPEE)


def _decode(path: str, body: bytes, shape: type[T]) -> T:
    """The ``data`` of a reply, checked against its shape."""
    try:
        return msgspec.json.decode(body, type=_Reply[shape], strict=False).data  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        raise UnavailableError(f"the answer to {path} is not as documented ({error})", "try again") from None
