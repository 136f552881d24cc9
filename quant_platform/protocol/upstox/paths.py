"""Hosts and paths of Upstox's REST API and feeds."""

from datetime import date
from urllib.parse import quote

API_HOST = "https://api.upstox.com"
ORDER_HOST = "https://api-hft.upstox.com"
"""Takes single orders only: place, modify, cancel."""
FILES_HOST = "https://assets.upstox.com"

LOGIN_DIALOG = "/v2/login/authorization/dialog"
LOGIN_TOKEN = "/v2/login/authorization/token"  # noqa: S105 - a path
PROFILE = "/v2/user/profile"

QUOTES_V2 = "/v2/market-quote/quotes"
QUOTES_V3 = "/v3/market-quote/quotes"
LTP_V2 = "/v2/market-quote/ltp"
LTP_V3 = "/v3/market-quote/ltp"
OHLC_V2 = "/v2/market-quote/ohlc"
OHLC_V3 = "/v3/market-quote/ohlc"

HISTORY_V2 = "/v2/historical-candle"
HISTORY_V3 = "/v3/historical-candle"

MARKET_STATUS = "/v2/market/status"
MARKET_TIMINGS = "/v2/market/timings"
MARKET_HOLIDAYS = "/v2/market/holidays"

FEED_V2 = "/v2/feed/market-data-feed"
FEED_V3 = "/v3/feed/market-data-feed"
AUTHORIZE = "/authorize"
"""Appended to a feed's path: the REST call that hands out its one-time URL."""
FEED_SOCKET = "/market-data-feeder/v3/upstox-developer-api/feeds"
"""Where a one-time URL leads, with ``requestId`` and ``code``."""

INSTRUMENT_FILES = "/market-quote/instruments/exchange"


def instrument_file(name: str) -> str:
    """Path of a daily instruments file, such as ``NSE``, ``NSE_MIS`` or ``complete``."""
    return f"{INSTRUMENT_FILES}/{name}.json.gz"


def history(key: str, unit: str, interval: int, last: date, first: date | None = None) -> str:
    """Path of V3 candles of past days, both dates included; the broker wants the last date first."""
    path = f"{HISTORY_V3}/{quote(key, safe='')}/{unit}/{interval}/{last.isoformat()}"
    return path if first is None else f"{path}/{first.isoformat()}"


def intraday(key: str, unit: str, interval: int) -> str:
    """Path of V3 candles of the current day so far."""
    return f"{HISTORY_V3}/intraday/{quote(key, safe='')}/{unit}/{interval}"
