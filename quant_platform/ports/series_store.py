"""Tables of time series: what the services write down as it happens, and what screens ask of it.

Rows move as columns of equal length. Prices and features are float64 rupees, NaN where there is none; stamps are
int64 ns since the epoch, UTC, above 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class Labels(NamedTuple):
    """A column of texts of which few differ."""

    codes: NDArray[np.int32]  # a row's place in ``names``
    names: Sequence[str]  # each once

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Labels":
        """The column of these texts, one a row."""
        rows = list(texts)
        numbers = {text: number for number, text in enumerate(dict.fromkeys(rows))}
        return cls(np.array([numbers[text] for text in rows], np.int32), tuple(numbers))

    def texts(self) -> list[str]:
        """The text of every row."""
        return [self.names[code] for code in self.codes.tolist()]


class TickRows(NamedTuple):
    """Table ``ticks``: ticks with their features."""

    timestamp: NDArray[np.int64]  # the exchange's stamp
    symbol: Labels
    seq: NDArray[np.int64]  # counts the symbol's ticks in a session, from 1
    ltp: NDArray[np.float64]
    volume: NDArray[np.int64]  # shares traded today so far
    vwap: NDArray[np.float64]
    rsi: NDArray[np.float64]  # 0 … 100
    obi: NDArray[np.float64]  # -1 … 1
    sma: NDArray[np.float64]
    spread: NDArray[np.float64]
    aggressor: Labels  # N, B or S
    flags: NDArray[np.uint8]  # LATE | OUT_OF_SESSION | REPAIRED of domain/ticks.py


class GreeksRows(NamedTuple):
    """Table ``option_greeks``: an option's sensitivities as the broker computes them."""

    timestamp: NDArray[np.int64]
    symbol: Labels
    ltp: NDArray[np.float64]
    iv: NDArray[np.float64]
    delta: NDArray[np.float64]
    gamma: NDArray[np.float64]
    theta: NDArray[np.float64]
    vega: NDArray[np.float64]
    rho: NDArray[np.float64]
    oi: NDArray[np.float64]


class CandleRows(NamedTuple):
    """Table ``candles_1m``: closed one-minute bars from history."""

    timestamp: NDArray[np.int64]  # the bar's start
    symbol: Labels
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.int64]  # shares traded within the bar


class MetricRows(NamedTuple):
    """Table ``service_metrics``: what a service's ``/metrics`` said, one number a row."""

    timestamp: NDArray[np.int64]  # when it was asked
    service: Labels
    instance: Labels  # which one of the service's processes
    metric: Labels  # quant_<subsystem>_<name>_<unit>
    labels: Labels  # as Prometheus writes them: ``topic="market.equity.ticks"``; empty where there are none
    value: NDArray[np.float64]


Rows = TickRows | GreeksRows | CandleRows | MetricRows
R = TypeVar("R", TickRows, GreeksRows, CandleRows, MetricRows)
S = TypeVar("S", TickRows, GreeksRows, CandleRows)
"""Rows that belong to a symbol: no two of them have the same symbol, stamp and, where there is one, seq."""


class Table(NamedTuple, Generic[R]):
    """A table, and what makes two of its rows the same: the later one takes the earlier one's place."""

    name: str
    rows: type[R]
    key: tuple[str, ...]  # the stamp, whose rows they are, and the rest


TICKS = Table("ticks", TickRows, ("timestamp", "symbol", "seq"))
OPTION_GREEKS = Table("option_greeks", GreeksRows, ("timestamp", "symbol"))
CANDLES_1M = Table("candles_1m", CandleRows, ("timestamp", "symbol"))
SERVICE_METRICS = Table("service_metrics", MetricRows, ("timestamp", "service", "instance", "metric", "labels"))

TABLES: tuple[Table[Any], ...] = (TICKS, OPTION_GREEKS, CANDLES_1M, SERVICE_METRICS)


class Place(NamedTuple):
    """Where to start reading a symbol's rows: at the first that is not before it."""

    timestamp: int  # ns UTC
    seq: int = 0  # of rows of this very stamp; counts only where the table has the column


def place_after(rows: TickRows | GreeksRows | CandleRows) -> Place:
    """Where to go on after these rows, at least one, of one symbol, in order."""
    last = int(rows.timestamp[-1])
    return Place(last, int(rows.seq[-1]) + 1) if isinstance(rows, TickRows) else Place(last + 1)


class SeriesWriter(Protocol):
    """Writes rows, each of them once however often it is handed over."""

    def prepare(self) -> None:
        """Have the tables made, in the order of this program. A flush does it too.

        Raises:
            UnavailableError: the store cannot be reached now.
            ConfigurationError: the address or the password is wrong, or a table is of another make.
        """
        ...

    def append(self, table: Table[R], rows: R) -> None:
        """Take rows in any order. They wait for the next :meth:`flush`, and must not be changed until then.

        Raises:
            DataError: a stamp is not above 0, or the columns differ in length.
        """
        ...

    def flush(self) -> None:
        """Return when all rows taken are durable; screens see them a moment later.

        Raises:
            UnavailableError: the store cannot be reached or is full. Some rows may have arrived; all still wait here.
            ConfigurationError: as :meth:`prepare`. The rows still wait.
            DataError: the store will never take these rows. They still wait.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; rows that still wait are forgotten."""
        ...


class Backlog(NamedTuple):
    """What was made durable in a table and cannot be read yet."""

    table: str
    commits: int  # how many flushes
    fault: str  # why there is no progress; empty where there is


class SeriesReader(Protocol):
    """Answers from what was flushed. Every call raises as the first does."""

    def newest(self, table: Table[R], name: str, limit: int) -> R:
        """The newest rows of a symbol (or service), oldest first.

        Args:
            table: what is read.
            name: the symbol, or in ``service_metrics`` the service.
            limit: at most so many rows.

        Raises:
            UnavailableError: the store cannot be reached now, or the table is not made yet.
            ConfigurationError: the address or the password is wrong, or the table is of another make.
        """
        ...

    def between(self, table: Table[S], symbol: str, start: Place, end_ns: int, limit: int) -> S:
        """Rows of a symbol in order of stamp and seq; :func:`place_after` them the next ones start.

        Args:
            table: what is read.
            symbol: whose rows.
            start: where to begin.
            end_ns: stamps below this one, ns UTC.
            limit: at most so many rows.
        """
        ...

    def backlog(self) -> Sequence[Backlog]:
        """Every table that is there, with what of it cannot be read yet."""
        ...

    def wait_until_visible(self, timeout_s: float) -> None:
        """Return when all that was flushed before this call can be read.

        Raises:
            UnavailableError: that took too long, or a table makes no progress.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
