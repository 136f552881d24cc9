"""Candle and tick files of the contract as a stream of trading days, whatever order their rows stand in."""

import re
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.adapters.ticks.day_buffer import DayBuffer
from quant_platform.adapters.ticks.file_columns import DEPTH_FIELDS, Columns
from quant_platform.adapters.ticks.file_decoding import ALWAYS, RowReader, count_rows
from quant_platform.adapters.ticks.file_order import completed, in_order
from quant_platform.adapters.ticks.file_schema import (
    DataFile,
    Kind,
    RowGroup,
    find_files,
    open_data_file,
)
from quant_platform.adapters.ticks.read_ahead import read_ahead
from quant_platform.domain.bars import TICKS_PER_BAR, exchange_bars
from quant_platform.domain.errors import CalendarError, DataError, UsageError
from quant_platform.domain.instruments import full_symbol, instrument_for
from quant_platform.domain.session import date_of, day_number, session_on
from quant_platform.domain.ticks import (
    LEVELS,
    NOT_FED,
    BarBatch,
    TickBatch,
    empty_bars,
    empty_ticks,
    join,
)
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_source import DayPart, DayTicks
from quant_platform.ports.tick_store import StoredBar

BUFFER_BYTES = 128 << 20
"""Rows that wait in memory for the rest of their day; more of them wait in temporary files."""

_DAYS_OF_BARS_KEPT = 8
_AHEAD = 2
"""Parts of days that are read ahead, and that are put in order ahead: they differ much in size."""


class _Unit(NamedTuple):
    """A row group, the least that is read at once."""

    file_number: int
    group: RowGroup


class _Read(NamedTuple):
    """Rows of a day, not yet in order."""

    day: int  # days since the epoch
    pieces: Sequence[Columns]
    begun: bool  # earlier rows of the day were handed out
    ends_day: bool


class FileTickSource:
    """A :class:`~quant_platform.ports.tick_source.TickSource` over Parquet files.

    Files, folders (with everything below them) and patterns of either candles or ticks. A run is of one kind: candles
    know no depth and count volume by the bar, so a mix is refused. Warm-up bars stored beside a recorded day
    (``date=YYYY-MM-DD/bars/``) come with that day. Every row group is read once for its dates and symbols and once
    for its rows; memory holds the rows of the days under way (:data:`BUFFER_BYTES`, then temporary files), the parts
    ahead of the one handed out, and no more, however many days there are.

    What can be known from the files' footers, dates and symbols is checked at once; what stands in the rows
    (a price that is NaN) when their day is read.

    Args:
        paths: files, folders or patterns; the order of files is the last word among equal (ts, symbol).
        first: first IST date to hand out; None: from the beginning. Earlier rows still serve :meth:`history`.
        last: last IST date to hand out; None: to the end.
        symbols: those to hand out, ``RELIANCE`` or ``NSE_EQ:RELIANCE``; None: all.
        skip_bad_rows: leave rows out that cannot be, and count them, instead of raising.
        buffer_bytes: see :data:`BUFFER_BYTES`.

    Raises:
        DataError: a file is missing, damaged or not of the contract; a row is impossible; nothing is selected.
        CalendarError: the exchange calendar does not cover a date.
        UsageError: ``first`` is after ``last``.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        *,
        first: date | None = None,
        last: date | None = None,
        symbols: Iterable[str] | None = None,
        skip_bad_rows: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        if first is not None and last is not None and first > last:
            raise UsageError(f"the range from {first} to {last} is empty", "give an earlier --from or a later --to")
        self._first = day_number(first) if first else ALWAYS[0]
        self._last = day_number(last) if last else ALWAYS[1]
        self._skip_bad_rows = skip_bad_rows
        self._buffer_bytes = buffer_bytes
        self._asked = None if symbols is None else frozenset(full_symbol(name) for name in symbols)
        self._skipped: Counter[str] = Counter()

        files = [open_data_file(path) for path in find_files(paths)]
        self._files = [file for file in files if file.kind is not Kind.BARS]
        self._bar_files = _by_stored_day([file for file in files if file.kind is Kind.BARS])
        self._kind = _one_kind(self._files)
        self._levels = LEVELS if any(file.has_depth for file in self._files) else 0
        self._optional = _optional_columns(self._files)

        self._units = [_Unit(n, group) for n, file in enumerate(self._files) for group in file.row_groups]
        self._days_in: dict[_Unit, list[int]] = {}
        self._rows_on: dict[int, Counter[str]] = {}
        self._count([unit for unit in self._units if self._overlaps(unit, self._first, self._last)])
        self._rows_by_day, found = self._select()
        self._symbols = tuple(sorted(found))
        self._numbers: Mapping[str, int] = {name: number for number, name in enumerate(self._symbols)}
        self._bars_on = lru_cache(maxsize=_DAYS_OF_BARS_KEPT)(self._read_bars_on)
        self._check()

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols that have rows in the selection, sorted by name; a tick's number is its place here."""
        return self._symbols

    @property
    def has_depth(self) -> bool:
        """Whether any of the files has depth columns."""
        return self._levels > 0

    @property
    def rows(self) -> int:
        """Rows that will be handed out, four for a candle; with ``skip_bad_rows`` the most that can be."""
        return sum(self._rows_by_day.values()) * (TICKS_PER_BAR if self._kind is Kind.CANDLES else 1)

    @property
    def kind(self) -> str:
        """``candles`` or ``ticks``."""
        return self._kind.value

    @property
    def skipped_rows(self) -> Mapping[str, int]:
        """Rows of the files that the last :meth:`days` left out so far, by the column that was impossible."""
        return dict(self._skipped)

    def trading_days(self) -> Sequence[date]:
        """The IST dates with rows in the selection, in order."""
        return [date_of(day) for day in self._rows_by_day]

    def days(self) -> Iterator[DayTicks]:
        """The days in order, each sorted by (ts, symbol name, order in the files); memory holds a whole one.

        Raises:
            DataError: as :meth:`parts`.
        """
        parts: list[DayPart] = []
        for part in self.parts():
            parts.append(part)
            if part.ends_day:
                ticks = part.ticks if len(parts) == 1 else join([part.ticks for part in parts])
                yield DayTicks(part.day, ticks, parts[0].bars)
                parts = []

    def parts(self) -> Iterator[DayPart]:
        """The days in order and in parts: files whose rows stand by time are read a few row groups at a time.

        The next ones are read and put in order in threads of their own while the caller works on this one.

        Raises:
            DataError: a row that the footers did not betray is impossible, or a file is damaged.
        """
        self._skipped.clear()
        with DayBuffer(self._buffer_bytes) as buffer, closing(self._ordered(self._read_days(buffer))) as ordered:
            for parts in ordered:
                yield from parts

    def history(self, symbol: str, before: date, bars: int) -> list[Candle]:
        """The last one-minute bars of a symbol before a date, in session only, oldest first.

        They may come from before the selection's first date. Bars are built from ticks as an exchange builds them.

        Args:
            symbol: ``NSE_EQ:RELIANCE``.
            before: IST date; bars start before it.
            bars: at most this many.
        """
        number = self._numbers.get(symbol)
        if number is None:
            return []
        found: list[Candle] = []
        for day in self._days_back_from(day_number(before), symbol):
            if len(found) >= bars:
                break
            batch = self._bars_on(day)
            start, stop = np.searchsorted(batch.symbol, [number, number + 1])
            columns = [column[start:stop].tolist() for name, column in batch._asdict().items() if name != "symbol"]
            found = [*map(Candle, *columns), *found]
        return found[-bars:] if bars > 0 else []

    # Choosing

    @staticmethod
    def _overlaps(unit: _Unit, first: int, last: int) -> bool:
        return bool(unit.group.rows) and unit.group.first_day <= last and unit.group.last_day >= first

    def _count(self, units: Sequence[_Unit]) -> None:
        """Learn which days and symbols stand in row groups, as far as they were asked for."""

        def count(unit: _Unit) -> Mapping[tuple[int, str], int]:
            return count_rows(self._files[unit.file_number], unit.group, self._skip_bad_rows)

        with ThreadPoolExecutor(2, "scan") as pool:
            for unit, counts in zip(units, pool.map(count, units), strict=True):
                wanted = {key: rows for key, rows in counts.items() if self._asked is None or key[1] in self._asked}
                self._days_in[unit] = sorted({day for day, _ in wanted})
                for (day, name), rows in wanted.items():
                    self._rows_on.setdefault(day, Counter())[name] += rows

    def _select(self) -> tuple[dict[int, int], set[str]]:
        chosen = {day: rows for day, rows in sorted(self._rows_on.items()) if self._first <= day <= self._last}
        return {day: rows.total() for day, rows in chosen.items()}, set().union(*chosen.values())

    def _check(self) -> None:
        absent = sorted(self._asked - set(self._symbols)) if self._asked is not None else []
        if absent:
            raise DataError(
                f"there are no rows of {', '.join(absent)} {self._where()}", "check --symbols and the range"
            )
        if not self._rows_by_day:
            raise DataError(f"there are no rows {self._where()}", "check --data, --from and --to")
        for day in self.trading_days():
            session_on(day)
        days = list(self._rows_by_day)
        for unit in self._units:
            if not self._skip_bad_rows and unit.group.suspect and self._has_rows(unit, days[0], days[-1]):
                for _ in self._reader(unit, days[0], days[-1], Counter()).pieces(unit.group):
                    pass

    def _where(self) -> str:
        groups = [unit.group for unit in self._units if unit.group.rows and unit.group.first_day > ALWAYS[0]]
        asked = "in the data" if (self._first, self._last) == ALWAYS else "in that range"
        if not groups:
            return asked
        held = f"{date_of(min(g.first_day for g in groups))} to {date_of(max(g.last_day for g in groups))}"
        return f"{asked} (the files hold {held})"

    def _has_rows(self, unit: _Unit, first: int, last: int) -> bool:
        return any(first <= day <= last for day in self._days_in.get(unit, ()))

    # Reading

    def _reader(self, unit: _Unit, first: int, last: int, skipped: Counter[str]) -> RowReader:
        return RowReader(self._files[unit.file_number], self._numbers, first, last, self._skip_bad_rows, skipped)

    def _read_unit(self, unit: _Unit, buffer: DayBuffer, first: int, last: int, skipped: Counter[str]) -> None:
        for day, row, columns in self._reader(unit, first, last, skipped).pieces(unit.group):
            whole = completed(columns, self._optional)
            buffer.add(day, (unit.file_number, row), {name: whole[name] for name in sorted(whole)})

    def _read_days(self, buffer: DayBuffer) -> Iterator[_Read]:
        """What each row group completes."""
        days = list(self._rows_by_day)
        units = [unit for unit in self._units if self._has_rows(unit, days[0], days[-1])]
        units.sort(key=lambda unit: (unit.group.first_ts, unit.file_number))
        last_unit = {day: place for place, unit in enumerate(units) for day in self._days_in[unit]}
        following = [unit.group.first_ts for unit in units[1:]]
        waiting = deque(days)
        begun = False
        for place, unit in enumerate(units):
            self._read_unit(unit, buffer, days[0], days[-1], self._skipped)
            while waiting and last_unit[waiting[0]] <= place:
                day = waiting.popleft()
                pieces = buffer.take(day)
                if pieces or begun:
                    yield _Read(day, pieces, begun, ends_day=True)
                begun = False
            if waiting and waiting[0] in self._days_in[unit] and self._kind is Kind.TICKS:
                pieces = buffer.take(waiting[0], before_ts=following[place])
                if pieces:
                    yield _Read(waiting[0], pieces, begun, ends_day=False)
                    begun = True

    def _ordered(self, read: Iterator[_Read]) -> Generator[Sequence[DayPart], None, None]:
        """Rows with depth are large, and nearly always stand in order: one thread does both, one part ahead."""
        if self.has_depth:
            yield from read_ahead(map(self._parts, read), "read-days")
            return
        with closing(read_ahead(read, "read-days", _AHEAD)) as waiting:
            yield from read_ahead(map(self._parts, waiting), "order-days", _AHEAD)

    def _parts(self, read: _Read) -> Sequence[DayPart]:
        batches = in_order(read.pieces, self._kind, self._levels) or [empty_ticks(0, self._levels)]
        bars = [() if read.begun else self._stored_bars(read.day), *[()] * (len(batches) - 1)]
        ends = [False] * (len(batches) - 1) + [read.ends_day]
        return [DayPart(date_of(read.day), *part) for part in zip(batches, bars, ends, strict=True)]

    def _stored_bars(self, day: int) -> Sequence[StoredBar]:
        return [
            bar
            for file in self._bar_files.get(day, ())
            for bar in RowReader(file, self._numbers, *ALWAYS, False).warm_up_bars()
        ]

    # History

    def _days_back_from(self, before: int, symbol: str) -> Iterator[int]:
        """Days before a date that have rows of the symbol, latest first; row groups are looked into as needed."""
        while True:
            latest: dict[_Unit, int] = {}
            for unit in self._units:
                known = self._days_in.get(unit)
                if known is not None:
                    days = [day for day in known if day < before and symbol in self._rows_on[day]]
                    if days:
                        latest[unit] = days[-1]
                elif self._overlaps(unit, ALWAYS[0], before - 1):
                    latest[unit] = min(unit.group.last_day, before - 1)
            if not latest:
                return
            day = max(latest.values())
            unknown = [unit for unit, at in latest.items() if at == day and unit not in self._days_in]
            if unknown:
                self._count(unknown)
                continue
            yield day
            before = day

    def _read_bars_on(self, day: int) -> BarBatch:
        with DayBuffer(self._buffer_bytes) as buffer:
            for unit in self._units:
                if self._has_rows(unit, day, day):
                    self._read_unit(unit, buffer, day, day, Counter())
            pieces = buffer.take(day)
        if not pieces:
            return empty_bars(0)
        ticks = join(in_order(pieces, self._kind, self._levels))
        return exchange_bars(ticks, self._counting(ticks, date_of(day)))

    def _counting(self, ticks: TickBatch, day: date) -> NDArray[np.bool_]:
        """Which rows features would see: in session and not late."""
        try:
            session = session_on(day)
        except CalendarError:
            session = None
        counting = np.zeros(ticks.ts.size, np.bool_)
        if session is None:
            return counting
        in_auction = np.array([instrument_for(name).cas_eligible for name in self._symbols])[ticks.symbol]
        for eligible in (True, False):
            for opens, closes in session.windows(eligible):
                counting |= (in_auction == eligible) & (ticks.ts >= opens) & (ticks.ts < closes)
        counting &= (ticks.flags & NOT_FED) == 0
        return counting


def _one_kind(files: Sequence[DataFile]) -> Kind:
    kinds = {file.kind: file.path for file in reversed(files)}
    if not kinds:
        raise DataError("the data holds warm-up bars only", "name the folder of the day's ticks")
    if len(kinds) > 1:
        raise DataError(
            f"{kinds[Kind.CANDLES]} holds candles and {kinds[Kind.TICKS]} holds ticks: one run takes one kind",
            "run them one after the other",
        )
    return next(iter(kinds))


def _optional_columns(files: Sequence[DataFile]) -> Columns:
    """Columns that some file has and others may lack, with no rows in them."""
    like = empty_ticks(0, LEVELS)._asdict()
    present = {name for file in files if file.kind is Kind.TICKS for name in file.columns}
    wanted: list[str] = [name for name in ("seq", "atp", "flags") if name in present]
    if any(file.has_depth for file in files):
        wanted += DEPTH_FIELDS
    return {name: like[name] for name in wanted}


def _by_stored_day(files: Sequence[DataFile]) -> dict[int, list[DataFile]]:
    """Warm-up bars by the day that they warmed, which only their folder tells."""
    by_day: dict[int, list[DataFile]] = {}
    for file in files:
        stored = re.findall(r"date=(\d{4}-\d{2}-\d{2})", str(file.path.resolve()))
        if not stored:
            raise DataError(
                f"{file.path} holds warm-up bars but stands in no folder date=YYYY-MM-DD",
                "keep it where it was recorded, beside its day's ticks",
            )
        by_day.setdefault(day_number(date.fromisoformat(stored[-1])), []).append(file)
    return by_day
