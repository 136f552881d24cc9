"""Where downloaded candles are kept by date, with what is known of their quality; row types beside it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple, Protocol

import msgspec

from quant_platform.domain.ticks import BarBatch
from quant_platform.ports.broker import Candle


class Gap(NamedTuple):
    """Bars of a session that are not there, one after the other."""

    start: int  # ns UTC, of the first one
    bars: int


class CandleQuality(msgspec.Struct, frozen=True, omit_defaults=True):
    """What history gave for one symbol and date. Stamps are starts of bars, ns UTC, in order."""

    candles: int  # kept
    expected: int  # bars in the date's continuous trading of the security
    gaps: tuple[Gap, ...] = ()
    duplicates: tuple[int, ...] = ()  # told more than once; one of them is kept
    outliers: tuple[int, ...] = ()  # far from the bars before and after; kept
    out_of_session: tuple[int, ...] = ()  # neither in the session nor on its grid; kept
    impossible: tuple[int, ...] = ()  # prices that contradict each other or are none; left out
    wrong_day: tuple[int, ...] = ()  # of a date that was not asked for, or has no session; left out
    in_series: bool = False  # the candles are in the table of time series too


class FetchedPart(NamedTuple):
    """History as it was answered: of one symbol, both dates included, not yet part of its dates."""

    symbol: str
    first: date
    last: date


class CandleStore(Protocol):
    """Candles of one interval. What a call wrote is durable when it returns; a kill at any moment loses no more.

    Any call raises :class:`UnavailableError` where the store cannot be reached or written now, and
    :class:`ConfigurationError` where it refuses us.
    """

    @property
    def where(self) -> str:
        """The store as a person would name it, without secrets."""
        ...

    def stored(self, first: date, last: date) -> Mapping[date, Mapping[str, CandleQuality]]:
        """What is complete, by date and symbol; of a date in the range only.

        Raises:
            DataError: what is known of a date cannot be read.
        """
        ...

    def save(self, day: date, symbols: Sequence[str], bars: BarBatch, quality: Mapping[str, CandleQuality]) -> None:
        """Make symbols of a date complete, beside those that are; what there was of the same symbols is replaced.

        Args:
            day: IST date of all bars.
            symbols: name of every number in the bars.
            bars: in any order, no two of one symbol and start.
            quality: of every symbol that was asked for, those without a bar too.
        """
        ...

    def load(self, day: date, symbols: Collection[str]) -> tuple[Sequence[str], BarBatch]:
        """What was saved of symbols of a date that is complete.

        Returns:
            The names of the numbers, and the bars by start, then symbol.

        Raises:
            DataError: the candles cannot be read.
        """
        ...

    def parts(self) -> Sequence[FetchedPart]:
        """What :meth:`keep` kept and nobody dropped."""
        ...

    def keep(self, part: FetchedPart, candles: Sequence[Candle]) -> None:
        """Keep an answer until its dates are saved."""
        ...

    def take(self, part: FetchedPart) -> list[Candle]:
        """What :meth:`keep` was given.

        Raises:
            DataError: there is no such part, or it cannot be read.
        """
        ...

    def drop(self, parts: Sequence[FetchedPart]) -> None:
        """Forget parts; one that is not there is none the less gone."""
        ...
