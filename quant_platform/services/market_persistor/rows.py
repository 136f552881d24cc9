"""What is stored, in the units of files and tables (rupees, shares, ns UTC): from batches and from records."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.enriched_json import EnrichedColumns
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.records import BarsRecord, GreeksRecord
from quant_platform.domain.ticks import AGGRESSOR_CODES, EnrichedBatch
from quant_platform.ports.series_store import CandleRows, GreeksRows, Labels, TickRows

Columns = dict[str, NDArray[np.generic]]


def stored_columns(batch: EnrichedBatch) -> Columns:
    """Columns of length n by name, in the order in which they are stored.

    Prices and features are float64 rupees, NaN where there is none: an absent average price, a level that is no
    level, an undefined feature. ``timestamp`` is int64 ns UTC. ``symbol`` is the number in the run's symbol table and
    ``aggressor`` the number of its code in ``AGGRESSOR_CODES``: the store writes their texts. Depth columns are there
    only when the stream has depth, so that readers see from the columns which kind of data it was.
    """
    ticks = batch.ticks
    columns: Columns = {
        "timestamp": ticks.ts,
        "symbol": ticks.symbol,
        "seq": ticks.seq,
        "ltp": _rupees(ticks.ltp),
        "volume": ticks.volume,
        "atp": np.where(ticks.atp > 0, ticks.atp, np.nan),
    }
    for side, prices, quantities in (
        ("bid", ticks.bid_price, ticks.bid_qty),
        ("ask", ticks.ask_price, ticks.ask_qty),
    ):
        rupees = np.where(prices > 0, _rupees(prices), np.nan)
        columns |= {f"{side}_price_{level + 1}": rupees[:, level] for level in range(prices.shape[1])}
        columns |= {f"{side}_qty_{level + 1}": quantities[:, level] for level in range(quantities.shape[1])}
    return columns | {
        "flags": ticks.flags,
        "vwap": batch.vwap,
        "rsi": batch.rsi,
        "obi": batch.obi,
        "sma": batch.sma,
        "spread": batch.spread,
        "aggressor": batch.aggressor,
    }


def _rupees(paise: NDArray[np.int32]) -> NDArray[np.float64]:
    """The double nearest to each price: round(x × 100) gives the paise again."""
    return paise / np.float64(PAISE_PER_RUPEE)


def tick_rows(columns: EnrichedColumns, names: Sequence[str]) -> TickRows:
    """Rows of ``ticks``: every record as it came, late and out-of-session ones included (``flags`` tells them).

    Args:
        columns: of the records.
        names: of the symbols, by the numbers that stand there.
    """
    symbol, aggressor = Labels(columns.symbol, names), Labels(columns.aggressor.astype(np.int32), AGGRESSOR_CODES)
    features = (columns.vwap, columns.rsi, columns.obi, columns.sma, columns.spread)
    return TickRows(columns.ts, symbol, columns.seq, columns.ltp, columns.volume, *features, aggressor, columns.flags)


def greeks_rows(records: Sequence[GreeksRecord]) -> GreeksRows:
    """Rows of ``option_greeks``, one a record."""
    return GreeksRows(
        _integers([record.ts for record in records]),
        Labels.of([record.symbol for record in records]),
        _numbers([record.ltp for record in records]),
        _numbers([record.iv for record in records]),
        _numbers([record.delta for record in records]),
        _numbers([record.gamma for record in records]),
        _numbers([record.theta for record in records]),
        _numbers([record.vega for record in records]),
        _numbers([record.rho for record in records]),
        _numbers([record.oi for record in records]),
    )


def candle_rows(records: Sequence[BarsRecord]) -> CandleRows:
    """Rows of ``candles_1m``: the bars of all records, those of warm-up and of repair alike."""
    bars = [bar for record in records for bar in record.bars]
    return CandleRows(
        _integers([bar.ts for bar in bars]),
        Labels.of([record.symbol for record in records for _ in record.bars]),
        _numbers([bar.open for bar in bars]),
        _numbers([bar.high for bar in bars]),
        _numbers([bar.low for bar in bars]),
        _numbers([bar.close for bar in bars]),
        _integers([bar.volume for bar in bars]),
    )


def _integers(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """NaN where there is none."""
    return np.array(values, np.float64)
