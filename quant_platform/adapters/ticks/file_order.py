"""Rows of files, as they were read, as batches in the order in which ticks are processed."""

from collections.abc import Sequence

import numpy as np

from quant_platform.adapters.ticks.file_columns import Columns
from quant_platform.adapters.ticks.file_schema import Kind
from quant_platform.domain.bars import bars_to_ticks
from quant_platform.domain.tick_order import in_that_order, is_in_order, processing_order
from quant_platform.domain.ticks import BarBatch, TickBatch, empty_ticks

PIECE_ROWS = 1 << 14
"""Pieces that are smaller on the average are handed out as one: a batch has a cost of its own."""


def in_order(pieces: Sequence[Columns], kind: Kind, levels: int) -> list[TickBatch]:
    """Batches that hold the rows by (ts, symbol, place in the files), one after the other.

    Large pieces that stand so already are not copied into one.

    Args:
        pieces: rows of one date in the order of the files, all with the same columns.
        kind: of the files.
        levels: depth levels of a batch, 0 or 5.
    """
    if not pieces:
        return []
    if kind is Kind.CANDLES:
        return [bars_to_ticks(BarBatch(**_as_one(pieces)))]
    if _follow_each_other(pieces):
        return [_batch(piece, levels) for piece in pieces]
    columns = _as_one(pieces)
    order = processing_order(columns["ts"], columns["symbol"])
    if order is not None:
        columns = {name: in_that_order(column, order) for name, column in columns.items()}
    return [_batch(columns, levels)]


def completed(columns: Columns, every: Columns) -> Columns:
    """The columns, and one of zeros for each of ``every`` that they lack, of its type and width."""
    rows = columns["ts"].size
    lacking = {name: like for name, like in every.items() if name not in columns}
    return columns | {name: np.zeros((rows, *like.shape[1:]), like.dtype) for name, like in lacking.items()}


def _as_one(pieces: Sequence[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _follow_each_other(pieces: Sequence[Columns]) -> bool:
    """Whether pieces that are worth a batch of their own stand in the order in which they are processed."""
    if sum(piece["ts"].size for piece in pieces) < len(pieces) * PIECE_ROWS:
        return False
    ends = [(piece["ts"][place], piece["symbol"][place]) for piece in pieces for place in (0, -1)]
    return ends == sorted(ends) and all(is_in_order(piece["ts"], piece["symbol"]) for piece in pieces)


def _batch(columns: Columns, levels: int) -> TickBatch:
    own = {name: np.require(column, requirements=["C", "W"]) for name, column in columns.items()}
    return TickBatch(**completed(own, empty_ticks(0, levels)._asdict()))
