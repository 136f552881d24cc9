"""A backlog put in order of time: its partitions come on at paces of their own, and a store takes order faster."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quant_platform.adapters.ticks.series_rows import joined, picked
from quant_platform.ports.series_store import TICKS, TickRows


class TimeWindow:
    """Rows of several turns, the earliest of which go first.

    A table of time series takes rows in order of time at half the price of those that lie before what it has. So rows
    wait until nothing earlier can come any more, their turn is some turns old, or too many wait; what is earlier than
    one that goes, goes with it.

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

    def end_turn(self) -> int:
        """What is added from here on belongs to the next turn; gives how many turns, from the first, have all gone."""
        gone = self._turn if self._held is None else int(self._held[1].min())
        self._turn += 1
        return gone if self.fresh or self._held is not None else self._turn

    def take(self, complete: int, *, everything: bool = False) -> TickRows | None:
        """The rows that go now, in order of time; None where none do.

        Args:
            complete: ns UTC; no row up to it is still to come.
            everything: whether none is to wait.
        """
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
            going = max(
                int(np.count_nonzero(rows.timestamp <= complete)),
                int(due[-1]) + 1 if due.size else 0,
                order.size - self._most,
            )
        if going < order.size:
            self._held = picked(TICKS, rows, order[going:]), turn[going:]
        return picked(TICKS, rows, order[:going]) if going else None


class Abreast:
    """Keeps a backlog's partitions abreast, by their clocks: those that are far ahead of the last one wait for it.

    A fetch gives each partition the same bytes, so that those of few symbols come on faster.

    Args:
        turns: how far one may be ahead: as far as all of them come in so many turns, on average.
    """

    def __init__(self, turns: int) -> None:
        self._newest: dict[int, int] = {}
        self._turns: deque[tuple[int, float]] = deque(maxlen=turns + 1)  # the last one, and the average, in each

    def begin(self, partitions: Sequence[int]) -> None:
        """Name the partitions that there are from here on."""
        self._newest = dict.fromkeys(partitions, 0)
        self._turns.clear()

    def saw(self, partition: int, ts: int) -> None:
        """A partition came to a moment, ns UTC."""
        self._newest[partition] = ts

    @property
    def complete(self) -> int:
        """The moment, ns UTC, that every partition has come to; 0 while one has not come to any."""
        return min(self._newest.copy().values(), default=0)

    def far_ahead(self) -> set[int]:
        """Once a turn: the partitions that are to wait. The last one never is; where it stands still, none is."""
        newest = {partition: ts for partition, ts in self._newest.copy().items() if ts}  # another thread goes on
        if not newest:
            return set()
        low, average = min(newest.values()), sum(newest.values()) / len(newest)
        self._turns.append((low, average))
        low_before, average_before = self._turns[0]
        if low == low_before:
            return set()
        # The average, because the last one comes on in leaps: as soon as the others wait, it has the whole fetch.
        reach = average - average_before
        return {partition for partition, ts in newest.items() if ts - low > reach}
