"""What holds for every indicator: right by a naive reference, however the stream is cut, stored or compiled."""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.golden.reference import DAY, IST, MINUTE, Level, Row

from .streams import STREAMS, Stream, features

NAN = math.nan


class IndicatorSuite:
    """Inherited by the tests of one indicator.

    Attributes:
        feature: the indicator's column.
        streams: names of the streams it is computed on.
        cold: rows of a first session on which it is undefined.
        warm: the first row on which it is defined.
    """

    feature: str
    streams: tuple[str, ...] = tuple(STREAMS)
    depth = False
    cold: Sequence[Row] = ()
    warm: Row

    def naive(self, rows: Sequence[Row], stream: Stream) -> float:
        """The value after a symbol's last fed row, from all of them, by the words of the rules."""
        raise AssertionError("every indicator's test gives its own")

    def column(self, stream: Stream, pieces: Sequence[int] = ()) -> NDArray[np.float64]:
        return features(stream.engine(), stream.batch(), pieces)[self.feature]

    def test_equals_the_naive_reference_on_every_row(self) -> None:
        for name in self.streams:
            stream = STREAMS[name]
            seen: dict[str, list[Row]] = {}
            expected = []
            for row, fed in zip(stream.rows, stream.fed, strict=True):
                if fed:
                    seen.setdefault(row.symbol, []).append(row)
                expected.append(self.naive(seen[row.symbol], stream) if fed else self.not_fed)
            np.testing.assert_allclose(self.column(stream), expected, rtol=1e-12, atol=1e-12, err_msg=name)

    not_fed: float = NAN

    @pytest.mark.parametrize("size", [1, 7])
    def test_any_cut_of_the_stream_gives_the_same_bits(self, size: int) -> None:
        for name in self.streams:
            stream = STREAMS[name]
            pieces = range(size, len(stream.rows), size)
            assert self.column(stream, pieces).tobytes() == self.column(stream).tobytes(), name

    def test_is_undefined_until_it_is_warm(self) -> None:
        rows = (*self.cold, self.warm)
        column = self.column(Stream(rows, (True,) * len(rows), self.depth, 14, 20))
        assert np.isnan(column[:-1]).all()
        assert not np.isnan(column[-1])

    def test_going_on_from_a_snapshot_changes_nothing(self) -> None:
        for name in self.streams:
            stream = STREAMS[name]
            whole = self.column(stream)
            middle = len(stream.rows) // 3
            first = stream.engine()
            features(first, stream.batch()._make(column[:middle] for column in stream.batch()))
            second = stream.engine()
            second.restore(first.snapshot())
            rest = features(second, stream.batch()._make(column[middle:] for column in stream.batch()))
            assert rest[self.feature].tobytes() == whole[middle:].tobytes(), name

    def test_plain_python_gives_the_same_bits_as_compiled(self, plain_python: dict[str, NDArray[np.float64]]) -> None:
        for name in self.streams:
            assert plain_python[f"{name}/{self.feature}"].tobytes() == self.column(STREAMS[name]).tobytes(), name


def today(rows: Sequence[Row]) -> list[Row]:
    """The rows of the last one's IST date."""
    day = (rows[-1].ts + IST) // DAY
    return [row for row in rows if (row.ts + IST) // DAY == day]


def closed_bars(rows: Sequence[Row]) -> list[list[int]]:
    """Prices of every minute that ended before the last row's."""
    minutes = [[row.ltp for row in group] for _, group in groupby(rows, key=lambda row: row.ts // MINUTE)]
    return minutes[:-1]


def standing_depth(rows: Sequence[Row]) -> tuple[list[Level], list[Level]] | None:
    """Bids and asks of today's last row that had any; only levels with price and quantity."""
    for row in reversed(today(rows)):
        bids, asks = ([level for level in side if level[0] > 0 and level[1] > 0] for side in (row.bids, row.asks))
        if bids or asks:
            return bids, asks
    return None
