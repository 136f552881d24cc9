"""Arrow columns of the contract's Parquet files as NumPy columns in the platform's units."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quant_platform.adapters.ticks.file_schema import CANDLE_PRICES, DEPTH_COLUMNS
from quant_platform.domain.depth_levels import price_levels, quantity_levels
from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import full_symbol
from quant_platform.domain.money import prices_to_paise
from quant_platform.domain.ticks import NS_PER_DAY

Columns = dict[str, NDArray[Any]]
"""Columns of equal length by the names of TickBatch or BarBatch; those that no file of the run has are left out."""

DEPTH_FIELDS = ("bid_price", "bid_qty", "ask_price", "ask_qty")

NO_VOLUME = -1
"""Stands for a volume that is missing: as impossible as any other below 0."""


def _in_memory(column: Any) -> NDArray[Any]:
    """A column of numbers without nulls as it lies in memory; ``to_numpy`` would import pandas first."""
    return np.from_dlpack(column)


def stamps(column: Any, ns_per_unit: int) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """Stamps in ns UTC, and a mask of those that are missing or beyond 64 bits (0 stands there); None: all are good."""
    raw = column.view(pa.int64())  # the same bytes; a cast would import pyarrow.compute, 0.05 s of every start
    units = _in_memory(raw.fill_null(0) if raw.null_count else raw)
    limit = (2**63 - 1 - NS_PER_DAY) // ns_per_unit
    lost: NDArray[np.bool_] | None = None
    if raw.null_count:
        lost = raw.is_null().to_numpy(zero_copy_only=False)
    if units.size and not (-limit <= units.min() and units.max() <= limit):
        beyond = (units > limit) | (units < -limit)
        lost = beyond if lost is None else lost | beyond
        units = np.where(beyond, 0, units)
    return units * ns_per_unit, lost


@lru_cache(maxsize=1 << 16)
def _full_symbol_or_none(name: str | None) -> str | None:
    try:
        return full_symbol(name) if name else None
    except DataError:
        return None


def symbols(column: Any) -> tuple[NDArray[np.int32], list[str | None]]:
    """Dictionary codes, -1 where there is none, and the full symbol of every code, None where it is malformed."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    indices = coded.indices
    codes = _in_memory(indices.fill_null(-1) if indices.null_count else indices)
    names = [_full_symbol_or_none(name) for name in coded.dictionary.to_pylist()]
    return codes.astype(np.int32, copy=False), names


def _floats(column: Any) -> NDArray[np.float64]:
    """A numeric column as float64, NaN where there is no value."""
    if column.null_count or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64()).fill_null(np.nan)
    return np.asarray(_in_memory(column), np.float64)


def whole_numbers(column: Any, missing: int) -> NDArray[np.int64]:
    """A numeric column as int64, ``missing`` where there is no number or one beyond 62 bits."""
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        filled = column.fill_null(missing) if column.null_count else column
        return np.asarray(_in_memory(filled), np.int64)
    values = np.rint(_floats(column))
    return np.where(np.abs(values) < 2**62, values, missing).astype(np.int64)


def tick_columns(batch: Any) -> Columns:
    """All columns of a batch of ticks but stamp and symbol; prices that are none become 0 or the highest paise."""
    present = set(batch.schema.names)
    columns: Columns = {
        "ltp": prices_to_paise(_floats(batch.column("ltp"))),
        "volume": whole_numbers(batch.column("volume"), NO_VOLUME),
    }
    if "seq" in present:
        columns["seq"] = whole_numbers(batch.column("seq"), 0)
    if "flags" in present:
        columns["flags"] = whole_numbers(batch.column("flags"), 0).astype(np.uint8)
    if "atp" in present:
        atp = _floats(batch.column("atp"))
        columns["atp"] = np.where(np.isfinite(atp) & (atp > 0), atp, 0.0)
    for field, names in zip(DEPTH_FIELDS, DEPTH_COLUMNS, strict=True):
        if present.isdisjoint(names):
            continue
        found = (batch.column(name) if name in present else pa.nulls(batch.num_rows, pa.float64()) for name in names)
        if field.endswith("price"):
            columns[field] = price_levels(*map(_floats, found))
        else:
            columns[field] = quantity_levels(*(whole_numbers(column, 0) for column in found))
    return columns


def candle_columns(batch: Any) -> Columns:
    """All columns of a batch of candles but stamp and symbol, as :func:`tick_columns` does."""
    columns: Columns = {name: prices_to_paise(_floats(batch.column(name))) for name in CANDLE_PRICES}
    columns["volume"] = whole_numbers(batch.column("volume"), NO_VOLUME)
    return columns
