"""What people type on the command line, read into plain values; errors name the option."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

import typer
from typer.core import TyperCommand

IST = timezone(timedelta(hours=5, minutes=30))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_DIGITS = 17  # more digits than a compact date and time has
SPREADING_OPTIONS = ("--data", "--symbols", "--set")
"""Options that take every value up to the next option: a shell makes many of ``--data folder/*.parquet``."""


class SpreadingCommand(TyperCommand):
    """A command whose repeatable options also take several values after one flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse with ``--data a b`` read as ``--data a --data b``."""
        return super().parse_args(ctx, spread(args))


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat a spreading option's flag before each of its values."""
    result: list[str] = []
    flag, values = "", 0
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            flag = argument if argument in SPREADING_OPTIONS else ""
            values = 0
        elif flag:
            values += 1
            if values > 1:
                result.append(flag)
        result.append(argument)
    return result


def read_date(text: str) -> date:
    """An IST date as ``2026-07-31``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date like 2026-07-31") from None


def read_time(text: str) -> time:
    """A time of day as ``09:15``."""
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time of day like 09:15") from None
    return at.replace(tzinfo=None)


def read_moment(text: str) -> int:
    """An IST moment as ``2026-07-31T10:30``, or ns UTC, as ns UTC."""
    if text.isdigit() and len(text) > NS_DIGITS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a moment like 2026-07-31T10:30 (IST)") from None
    since_epoch = (moment if moment.tzinfo else moment.replace(tzinfo=IST)) - EPOCH
    return since_epoch // timedelta(microseconds=1) * 1000


def read_speed(text: str) -> float:
    """Market seconds per wall second; ``max`` is infinite."""
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise typer.BadParameter(f"{text!r} is neither a number above 0 nor max")
    return speed


def read_capital(text: str) -> int:
    """Rupees, with or without grouping commas, as paise."""
    try:
        amount = Decimal(text.replace(",", "").removeprefix("₹"))
        valid = amount.is_finite() and 0 < amount <= 10**11 and amount == round(amount, 2)
    except InvalidOperation:
        valid = False
    if not valid:
        raise typer.BadParameter(f"{text!r} is not an amount of rupees like 20000 or 20000.50")
    return int(amount * 100)


def read_parameters(given: Iterable[str], latency_ms: int | None) -> dict[str, str]:
    """``--set`` texts and ``--latency-ms`` as name → text; whether a name exists is the strategy's to say."""
    parameters = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, as in rsi_entry=55", param_hint="--set")
        parameters[name.strip()] = value.strip()
    if latency_ms is not None:
        parameters["latency_ms"] = str(latency_ms)
    return parameters


def read_symbols(given: Iterable[str]) -> tuple[str, ...]:
    """Symbols, also several to a comma; a bare ``reliance`` is ``NSE_EQ:RELIANCE``."""
    names = [name.strip().upper() for text in given for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys(name if ":" in name else f"NSE_EQ:{name}" for name in names))


def finite(speed: float) -> float | None:
    """A speed as hosts take it: None for ``max``."""
    return None if math.isinf(speed) else speed
