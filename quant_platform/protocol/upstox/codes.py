"""Upstox's error codes, what each one means to a user, and the envelope that carries them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

INVALID_TOKEN = "UDAPI100050"  # noqa: S105 - an error code
RATE_LIMIT = "UDAPI10005"
RESOURCE_NOT_FOUND = "UDAPI100060"
INVALID_METHOD = "UDAPI100012"
MALFORMED_INPUT = "UDAPI100036"
INVALID_KEY = "UDAPI100011"
INVALID_QUOTE_KEY = "UDAPI1087"
TOO_MANY_QUOTE_KEYS = "UDAPI100042"
TOO_MANY_LTP_KEYS = "UDAPI100043"
MISSING_KEY = "UDAPI1009"
OHLC_INTERVAL_MISSING = "UDAPI1027"
OHLC_INTERVAL_INVALID = "UDAPI1028"
BAD_DATES = "UDAPI1015"
CANDLE_KEY_FORMAT = "UDAPI1021"
CANDLE_UNIT = "UDAPI1146"
CANDLE_INTERVAL = "UDAPI1147"
CANDLE_RANGE = "UDAPI1148"
INVALID_DATE = "UDAPI1088"
INVALID_EXCHANGE = "UDAPI1089"
USED_CODE = "UDAPI100057"
WRONG_APP = "UDAPI100068"
WRONG_SECRET = "UDAPI100069"  # noqa: S105 - an error code
WRONG_REDIRECT = "UDAPI100070"
SYSTEM_FAILURE = "UDAPI100500"


class Meaning(NamedTuple):
    """One code in words: what the broker says, and what a user can do about it."""

    what: str
    cure: str = ""


_LOGIN = "run `quant login`; a token ends at 03:30 IST of the next day"
_APP = "compare the API key, secret and redirect URI with the app in Upstox's console"
_HOURS = "the service answers from 05:30 to 24:00 IST"

CODES: Mapping[str, Meaning] = {
    "UDAPI10000": Meaning("the request was not recognised"),
    RATE_LIMIT: Meaning("too many requests", "wait: 50 a second, 500 a minute and 2,000 in 30 minutes are allowed"),
    "UDAPI100010": Meaning("the order was not found"),
    INVALID_KEY: Meaning("invalid instrument key", "take keys from the daily instruments file"),
    INVALID_METHOD: Meaning("the path does not take this HTTP method"),
    "UDAPI100015": Meaning("the Api-Version header is missing"),
    "UDAPI100016": Meaning("invalid credentials", _LOGIN),
    MALFORMED_INPUT: Meaning("the input is malformed"),
    "UDAPI100038": Meaning("the input is malformed"),
    "UDAPI100040": Meaning("the order cannot be cancelled: it is finished"),
    "UDAPI100041": Meaning("the order cannot be modified: it is finished"),
    TOO_MANY_QUOTE_KEYS: Meaning("more than 500 instrument keys in one quote request"),
    TOO_MANY_LTP_KEYS: Meaning("too many instrument keys in one request"),
    "UDAPI100049": Meaning("access is restricted for this app", "ask Upstox which product the app needs"),
    INVALID_TOKEN: Meaning("the access token is invalid or has expired", _LOGIN),
    USED_CODE: Meaning("the authorisation code is invalid or was used before", _LOGIN),
    "UDAPI100058": Meaning("no segment is active for this user", "activate NSE equity in the Upstox account"),
    "UDAPI100059": Meaning("an order id or a tag is needed"),
    RESOURCE_NOT_FOUND: Meaning("resource not found"),
    "UDAPI100067": Meaning("an extended token is not permitted here", _LOGIN),
    WRONG_APP: Meaning("the client id or the redirect URI is wrong", _APP),
    WRONG_SECRET: Meaning("the client id or its secret is wrong", _APP),
    WRONG_REDIRECT: Meaning("the redirect URI is wrong", _APP),
    "UDAPI100072": Meaning("the funds service is closed", _HOURS),
    "UDAPI100073": Meaning("the app is inactive", "activate the app in Upstox's console"),
    "UDAPI100074": Meaning("the order service is closed", _HOURS),
    "UDAPI100076": Meaning("more than 50 instrument keys in one option greeks request"),
    "UDAPI100095": Meaning("this instrument has no last traded price"),
    SYSTEM_FAILURE: Meaning("the broker's system failed", "try again"),
    "UDAPI1003": Meaning("an order id is needed"),
    "UDAPI1004": Meaning("the order type is needed"),
    "UDAPI1007": Meaning("the validity is needed"),
    MISSING_KEY: Meaning("an instrument key is needed"),
    "UDAPI1010": Meaning("the order id has characters that are not allowed"),
    "UDAPI1011": Meaning("the instrument key is not of the form SEGMENT|ID"),
    BAD_DATES: Meaning("a date is invalid, or the last date lies before the first"),
    CANDLE_KEY_FORMAT: Meaning("the instrument key is not of the form SEGMENT|ID"),
    "UDAPI1022": Meaning("the last date is needed"),
    "UDAPI1023": Meaning("an order id is needed"),
    "UDAPI1026": Meaning("an instrument key is needed"),
    OHLC_INTERVAL_MISSING: Meaning("an interval is needed"),
    OHLC_INTERVAL_INVALID: Meaning("the interval is not one of 1d, I1, I30"),
    "UDAPI1052": Meaning("the quantity is zero"),
    "UDAPI1055": Meaning("the order type is invalid"),
    "UDAPI1056": Meaning("the validity is invalid"),
    INVALID_QUOTE_KEY: Meaning("invalid symbol or instrument key", "take keys from the daily instruments file"),
    INVALID_DATE: Meaning("the date is invalid"),
    INVALID_EXCHANGE: Meaning("the exchange is invalid"),
    CANDLE_UNIT: Meaning("the unit is not one of minutes, hours, days, weeks, months"),
    CANDLE_INTERVAL: Meaning("the interval is not allowed for this unit"),
    CANDLE_RANGE: Meaning("the dates span more than one request may ask for"),
    "UDAPI1149": Meaning("this needs the Upstox Plus plan"),
    "UDAPI1154": Meaning("the calling IP address is not registered", "register it in Upstox's console"),
    "UDAPI1156": Meaning("the algo's name is not registered"),
    "UDAPI1158": Meaning("market orders are blocked for this instrument", "send a limit order"),
    "UDAPI1159": Meaning("the market protection is above 25 %"),
    "UDAPI1161": Meaning("orders on MCX are not taken through the API"),
}
"""The codes that equity trading and market data can meet."""


class Problem(NamedTuple):
    """One error of a reply."""

    code: str
    message: str
    property_path: str | None = None
    invalid_value: Any = None


def error_envelope(code: str, message: str = "", *, path: str | None = None, value: Any = None) -> dict[str, Any]:
    """The body of an error reply: no ``data``, and every field in both spellings, as the broker sends it.

    Args:
        code: one of :data:`CODES`, or any other.
        message: the broker's text; by default the meaning of the code.
        path: the parameter that was wrong.
        value: what was given for it.
    """
    text = message or CODES.get(code, Meaning(code)).what
    error = {
        "errorCode": code,
        "message": text,
        "propertyPath": path,
        "invalidValue": value,
        "error_code": code,
        "property_path": path,
        "invalid_value": value,
    }
    return {"status": "error", "errors": [error]}


def problems(body: object) -> list[Problem]:
    """The errors of a decoded reply, whichever spelling it used; empty when it is no error envelope."""
    if not isinstance(body, Mapping) or not isinstance(body.get("errors"), list):
        return []
    found = []
    for error in body["errors"]:
        if isinstance(error, Mapping):
            code = error.get("errorCode") or error.get("error_code") or ""
            path = error.get("propertyPath") or error.get("property_path")
            value = error.get("invalidValue", error.get("invalid_value"))
            found.append(Problem(str(code), str(error.get("message") or ""), path, value))
    return found
