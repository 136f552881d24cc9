"""Column types that are exact in every database: money, prices and moments."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from quant_platform.domain.money import decimal_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BigCounter = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit number that SQLite, too, counts up by itself as a primary key."""


@lru_cache(maxsize=4096)
def moment(ns: int) -> datetime:
    """A stamp in ns since the epoch as a UTC time, cut to the microseconds that databases keep."""
    return EPOCH + timedelta(microseconds=ns // 1000)


def to_ns(when: datetime) -> int:
    """A time as ns since the epoch, to the microsecond."""
    return int(when.timestamp() * 1_000_000) * 1000


class Rupees(TypeDecorator[int]):
    """Rupees in the database, integers in Python.

    Python sees units of 10^-scale rupees: paise with the default scale of 2. Postgres keeps NUMERIC; SQLite,
    whose NUMERIC is a float, keeps the decimal digits as text, always with all decimals.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, scale: int = 2) -> None:
        super().__init__(precision=20, scale=scale)
        self.decimals = scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT in SQLite, NUMERIC elsewhere."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(Numeric(20, self.decimals))

    def bind_processor(self, dialect: Dialect) -> Callable[[int | None], Any]:
        """Units to rupees, in one call a value: a backtest writes hundreds of thousands."""
        scale = self.decimals
        if dialect.name == "sqlite":
            return lambda units: None if units is None else decimal_text(units, scale)
        return lambda units: None if units is None else Decimal(decimal_text(units, scale))

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Rupees to units."""
        if value is None:
            return None
        if isinstance(value, str):
            return int(value.replace(".", ""))
        return int(value.scaleb(self.decimals))


@lru_cache(maxsize=4096)
def _utc_text(value: datetime) -> str:
    return _with_zone(value).isoformat(" ", "microseconds")


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return value.astimezone(UTC)


class Moment(TypeDecorator[datetime]):
    """A time with its zone: timestamptz in Postgres, sortable ISO text in UTC in SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT in SQLite, whose DATETIME would lose the zone."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Refuse a time without a zone; write UTC."""
        write = _utc_text if dialect.name == "sqlite" else _with_zone
        return lambda value: None if value is None else write(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """UTC, whatever zone the connection has."""
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
