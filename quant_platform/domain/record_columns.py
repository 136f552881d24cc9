"""Records of the topics as batches of columns, and back: rupees and levels there, paise and arrays here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.depth_json import DepthColumns
from quant_platform.domain.enriched_json import EnrichedColumns
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.records import (
    NO_DEPTH,
    BarRow,
    BarsRecord,
    Depth,
    EnrichedAsRead,
    TickAsRead,
    TickRecord,
)
from quant_platform.domain.ticks import AGGRESSOR_CODES, BarBatch, EnrichedBatch, TickBatch, empty_bars


def tick_batch(records: Sequence[TickAsRead], numbers: Sequence[int], depth: DepthColumns, levels: int) -> TickBatch:
    """Ticks of a topic as a batch.

    Args:
        records: in order of processing.
        numbers: of their symbols.
        depth: theirs, row by row.
        levels: 5, or 0 for data without depth.
    """
    return TickBatch(
        np.array([record.ts for record in records], np.int64),
        np.array(numbers, np.int32),
        np.array([record.seq for record in records], np.int64),
        paise([record.ltp for record in records]),
        np.array([record.volume for record in records], np.int64),
        np.array([record.atp or 0.0 for record in records], np.float64),
        np.array([record.flags for record in records], np.uint8),
        *(column[:, :levels] for column in depth),
    )


def enriched_batch(columns: EnrichedColumns, numbers: NDArray[np.int32], levels: int) -> EnrichedBatch:
    """Columns of a topic as a batch.

    Args:
        columns: in order of processing.
        numbers: of their symbols.
        levels: 5, or 0 for data without depth.
    """
    atp = np.zeros(columns.ts.size, np.float64)
    depth = [column[:, :levels] for column in columns.depth]
    ltp = paise(columns.ltp)
    ticks = TickBatch(columns.ts, numbers, columns.seq, ltp, columns.volume, atp, columns.flags, *depth)
    bids = np.any((ticks.bid_price > 0) & (ticks.bid_qty > 0), axis=1)
    asks = np.any((ticks.ask_price > 0) & (ticks.ask_qty > 0), axis=1)
    features = (columns.vwap, columns.rsi, columns.obi, columns.sma, columns.spread)
    return EnrichedBatch(ticks, *features, columns.aggressor, np.asarray(bids | asks))


def tick_records(batch: TickBatch, names: Sequence[str]) -> list[TickRecord]:
    """A batch that passed ingestion as records of ``market.equity.ticks``.

    Args:
        batch: ticks.
        names: symbol of every number.
    """
    return [
        TickRecord(names[number], ts, seq, price, volume, atp or None, flags, depth)
        for ts, number, seq, price, volume, atp, flags, depth in zip(
            batch.ts.tolist(),
            batch.symbol.tolist(),
            batch.seq.tolist(),
            (batch.ltp / PAISE_PER_RUPEE).tolist(),
            batch.volume.tolist(),
            batch.atp.tolist(),
            batch.flags.tolist(),
            _depths(batch),
            strict=True,
        )
    ]


def enriched_records(records: Sequence[TickAsRead], batch: EnrichedBatch) -> list[EnrichedAsRead]:
    """What the feature engine made of ticks, as records of ``market.enriched.ticks``.

    Args:
        records: the ticks as they were read.
        batch: the same ticks with their features, row by row.
    """
    return [
        EnrichedAsRead(
            record.symbol,
            record.ts,
            record.seq,
            record.ltp,
            record.volume,
            vwap,
            rsi,
            obi,
            sma,
            spread,
            AGGRESSOR_CODES[aggressor],  # type: ignore[arg-type]
            record.flags,
            record.depth if has_depth else NO_DEPTH,
        )
        for record, vwap, rsi, obi, sma, spread, aggressor, has_depth in zip(
            records,
            batch.vwap.tolist(),
            batch.rsi.tolist(),
            batch.obi.tolist(),
            batch.sma.tolist(),
            batch.spread.tolist(),
            batch.aggressor.tolist(),
            batch.has_depth.tolist(),
            strict=True,
        )
    ]


def bar_batch(record: BarsRecord, number: int) -> BarBatch:
    """The bars of a record as a batch.

    Args:
        record: of one symbol.
        number: of that symbol.
    """
    batch = empty_bars(len(record.bars))
    if record.bars:
        starts, *prices, volumes = zip(*record.bars, strict=True)
        batch.ts[:], batch.symbol[:], batch.volume[:] = starts, number, volumes
        for column, values in zip((batch.open, batch.high, batch.low, batch.close), prices, strict=True):
            column[:] = paise(values)
    return batch


def bar_rows(batch: BarBatch) -> list[BarRow]:
    """Bars of one symbol as rows of a record."""
    prices = ((column / PAISE_PER_RUPEE).tolist() for column in (batch.open, batch.high, batch.low, batch.close))
    return [BarRow(*row) for row in zip(batch.ts.tolist(), *prices, batch.volume.tolist(), strict=True)]


def paise(rupees: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int32]:
    """Prices of records as round(x × 100)."""
    return np.rint(np.array(rupees, np.float64) * PAISE_PER_RUPEE).astype(np.int32)


def _depths(batch: TickBatch) -> list[Depth | None]:
    """Each row's levels, without those behind the last of a side; None for a row without any."""
    n, levels = batch.bid_price.shape
    if not levels:
        return [None] * n
    sides = []
    for prices, quantities in ((batch.bid_price, batch.bid_qty), (batch.ask_price, batch.ask_qty)):
        there = (prices > 0) & (quantities > 0)
        counts = np.where(there.any(axis=1), levels - there[:, ::-1].argmax(axis=1), 0)
        rupees: list[list[float]] = (prices / PAISE_PER_RUPEE).tolist()
        sides.append((counts.tolist(), rupees, quantities.tolist()))
    found: list[Depth | None] = []
    for (n_bids, bid_prices, bid_qtys), (n_asks, ask_prices, ask_qtys) in zip(
        zip(*sides[0], strict=True), zip(*sides[1], strict=True), strict=True
    ):
        if n_bids or n_asks:
            bids: Any = list(zip(bid_prices[:n_bids], bid_qtys[:n_bids], strict=True))
            found.append(Depth(bids, list(zip(ask_prices[:n_asks], ask_qtys[:n_asks], strict=True))))
        else:
            found.append(None)
    return found
