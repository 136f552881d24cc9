"""Partitions as one stream: in order of (time, symbol, arrival), let go by clocks alone.

Every record has an *effective* time: its own stamp, but never less than that of the record before it in its partition,
and later than the last clock before it. So a partition is in order of effective time, whatever arrives late; and as
soon as every partition has shown a clock, all records up to the least of these clocks are known. The order is a
function of what the partitions hold, not of when or in which pieces it was read.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

_Waiting = tuple[int, str, int, int, Any]
"""A record that no clock has let go yet: effective time (ns UTC), symbol, offset, partition, and its content, None for
what only moves time. In this order it is sorted by, and never as far as to the content."""


class _Partition:
    """What one partition has shown so far."""

    __slots__ = ("clock", "floor", "following", "waiting")

    def __init__(self, watermark: int, following: int) -> None:
        self.clock = watermark  # ns UTC of its last clock
        self.floor = watermark + 1  # effective time that the next record has at least
        self.following = following  # offset that is read next
        self.waiting: deque[_Waiting] = deque()


class Merge:
    """Several partitions as one stream.

    Args:
        start: partition → offset of the first record that was not let go.
        watermark: ns UTC up to which everything was let go; 0 at the beginning.
    """

    def __init__(self, start: Mapping[int, int], watermark: int = 0) -> None:
        self._partitions = {number: _Partition(watermark, offset) for number, offset in start.items()}
        self._watermark = watermark

    @property
    def watermark(self) -> int:
        """Market time, ns UTC, up to which everything was let go."""
        return self._watermark

    @property
    def following(self) -> dict[int, int]:
        """Partition → offset of the first record that was not let go: from here on it has to be read again."""
        return {
            number: partition.waiting[0][2] if partition.waiting else partition.following
            for number, partition in self._partitions.items()
        }

    def far_ahead(self, most: int) -> set[int]:
        """Partitions that have shown a clock later than another's, and of which more records than this wait for it.

        One whose own clock is the least is never among them: what lets it go stands further on in itself.
        """
        least = min(partition.clock for partition in self._partitions.values())
        return {
            number
            for number, partition in self._partitions.items()
            if len(partition.waiting) > most and partition.clock > least
        }

    def add(self, number: int, offset: int, ts: int, symbol: str, content: Any) -> None:
        """Take a partition's next record.

        Args:
            number: of the partition.
            offset: its place there.
            ts: its stamp, ns UTC.
            symbol: breaks ties of time.
            content: what is let go.
        """
        partition = self._partitions[number]
        partition.floor = max(partition.floor, ts)
        partition.following = offset + 1
        partition.waiting.append((partition.floor, symbol, offset, number, content))

    def add_clock(self, number: int, offset: int, ts: int, content: Any = None) -> None:
        """Take a clock: what follows in its partition belongs after ``ts`` (ns UTC).

        Args:
            number: of the partition.
            offset: its place there.
            ts: its time.
            content: let go in order with the records; None for nothing.
        """
        self.add(number, offset, ts, "", content)
        partition = self._partitions[number]
        partition.clock = max(partition.clock, ts)
        partition.floor = max(partition.floor, ts + 1)

    def release(self) -> list[Any]:
        """What every partition's clock has passed, in order; the watermark moves there."""
        self._watermark = min(partition.clock for partition in self._partitions.values())
        gone: list[_Waiting] = []
        for partition in self._partitions.values():
            waiting = partition.waiting
            while waiting and waiting[0][0] <= self._watermark:
                gone.append(waiting.popleft())
        gone.sort()
        return [record[4] for record in gone if record[4] is not None]
