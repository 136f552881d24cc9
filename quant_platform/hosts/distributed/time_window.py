"""A backlog put in order of time: its partitions come on at paces of their own, and a store takes order faster."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from quant_platform.adapters.ticks.series_rows import joined, picked
from quant_platform.ports.series_store import TICKS, TickRows


class TimeWindow:
    """Rows of several turns, the earliest of which go first.

    A table of time series takes rows in order of time at half the price of those that lie before what it has. So rows
    wait until their turn is some turns old, or too many wait; what is earlier than one that goes, goes with it.

    Args:
        turns: how many turns later the last of a turn's rows goes.
        most: rows that may wait.
    """

    def __init__(self, turns: int, most: int) -> None:
        self._turns = turns
        self._most = most
        self._turn = 0
        self._new: list[TickRows] = []
        self._held: tuple[TickRows, NDArray[np.int64]] | None = None  # in order of time, with their turns
        self.fresh = 0
        """Rows that were added since some were taken."""

    def add(self, rows: TickRows) -> None:
        """Take rows of the turn under way."""
        self._new.append(rows)
        self.fresh += rows.timestamp.size

    def end_turn(self) -> None:
        """What is added from here on belongs to the next turn."""
        self._turn += 1

    def take(self, *, everything: bool = False) -> TickRows | None:
        """The rows that go now, in order of time; None where none do."""
        parts, turns = list(self._new), [np.full(self.fresh, self._turn)]
        if self._held is not None:
            parts.insert(0, self._held[0])
            turns.insert(0, self._held[1])
        self._new, self._held, self.fresh = [], None, 0
        if not parts:
            return None
        rows, turn = joined(TICKS, parts), np.concatenate(turns)
        order = np.argsort(rows.timestamp, kind="stable")
        turn = turn[order]
        going = order.size
        if not everything:
            due = np.flatnonzero(turn <= self._turn - self._turns)
            going = max(int(due[-1]) + 1 if due.size else 0, order.size - self._most)
        if going < order.size:
            self._held = picked(TICKS, rows, order[going:]), turn[going:]
        return picked(TICKS, rows, order[:going]) if going else None


class Abreast:
    """Keeps a backlog's partitions abreast: those that are far ahead of the last one are to wait for it.

    A fetch gives each partition the same bytes, so that those of few symbols come on faster.

    Args:
        turns: how far one may be ahead: as far as the last one comes in so many turns.
    """

    def __init__(self, turns: int) -> None:
        self._newest: dict[int, int] = {}
        self._lows: deque[int] = deque(maxlen=turns + 1)

    def saw(self, partition: int, ts: int) -> None:
        """A partition came to a moment, ns UTC."""
        self._newest[partition] = ts

    def forget(self) -> None:
        """The partitions are others from here on."""
        self._newest.clear()
        self._lows.clear()

    def far_ahead(self) -> set[int]:
        """Once a turn: the partitions that are to wait. The last one never is, so that it comes on."""
        newest = self._newest.copy()  # another thread goes on
        low = min(newest.values(), default=0)
        self._lows.append(low)
        reach = low - self._lows[0]
        return {partition for partition, ts in newest.items() if ts - low > reach} if reach > 0 else set()
