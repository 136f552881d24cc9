"""Column types that are exact in every database: money, prices and moments."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BigCounter = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit number that SQLite, too, counts up by itself as a primary key."""


def moment(ns: int) -> datetime:
    """A stamp in ns since the epoch as a UTC time, cut to the microseconds that databases keep."""
    return EPOCH + timedelta(microseconds=ns // 1000)


def decimal_text(units: int, scale: int) -> str:
    """``units`` of 10^-scale as a plain decimal: 123456 with scale 2 is ``1234.56``."""
    whole, part = divmod(abs(units), 10**scale)
    return f"{'-' if units < 0 else ''}{whole}.{part:0{scale}d}"


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

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """Units to rupees."""
        if value is None:
            return None
        text = decimal_text(value, self.decimals)
        return text if dialect.name == "sqlite" else Decimal(text)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Rupees to units."""
        if value is None:
            return None
        if isinstance(value, str):
            return int(value.replace(".", ""))
        return int(value.scaleb(self.decimals))


class Moment(TypeDecorator[datetime]):
    """A time with its zone: timestamptz in Postgres, sortable ISO text in UTC in SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT in SQLite, whose DATETIME would lose the zone."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a time without a zone; write UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        if dialect.name == "sqlite":
            return value.astimezone(UTC).isoformat(" ", "microseconds")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """UTC, whatever zone the connection has."""
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
