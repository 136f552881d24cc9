"""Protobuf messages of one shape, written many at a time: constant bytes with holes that columns are poured into.

A message built member by member costs a Python call per member; a market sends millions. Rows whose messages have
the same members differ only in numbers: doubles are eight bytes anyway, and an integer may be written as a varint
of fixed width (continuation bits on leading zeros), which every decoder reads. So a whole column is poured at once.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

VARINT_BYTES = 6
MAX_VARINT = 2 ** (7 * VARINT_BYTES) - 1
"""4.4e12: above any day's volume, and a stamp in milliseconds until 2109."""

_VARINT, _DOUBLE, _LENGTH = 0, 1, 2
_SHIFTS = np.arange(VARINT_BYTES, dtype=np.uint64) * np.uint64(7)
_CONTINUES = np.array([0x80] * (VARINT_BYTES - 1) + [0], np.uint8)

Columns = Mapping[str, NDArray[np.float64] | NDArray[np.int64]]
"""Hole → values: float64 for doubles, int64 from 0 to MAX_VARINT for integers."""


def varint(value: int) -> bytes:
    """The shortest encoding of a non-negative integer."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def length_delimited(number: int, content: bytes) -> bytes:
    """A member that holds a text or a message."""
    return varint(number << 3 | _LENGTH) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """A member that holds a known integer, enum or truth value."""
    return varint(number << 3 | _VARINT) + varint(value)


class Template:
    """One message shape, put together member by member."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._doubles: list[tuple[int, str]] = []
        self._integers: list[tuple[int, str]] = []

    def constant(self, member: bytes) -> Self:
        """A member that is the same in every row, already encoded."""
        self._content += member
        return self

    def double(self, number: int, hole: str) -> Self:
        """A double that comes from a column."""
        self._content += varint(number << 3 | _DOUBLE)
        self._doubles.append((len(self._content), hole))
        self._content += bytes(8)
        return self

    def integer(self, number: int, hole: str) -> Self:
        """An integer that comes from a column."""
        self._content += varint(number << 3 | _VARINT)
        self._integers.append((len(self._content), hole))
        self._content += bytes(VARINT_BYTES)
        return self

    def message(self, number: int, inner: "Template") -> Self:
        """A member that is itself a message, with its own holes."""
        self._content += varint(number << 3 | _LENGTH) + varint(len(inner._content))
        start = len(self._content)
        self._content += inner._content
        self._doubles += [(start + offset, hole) for offset, hole in inner._doubles]
        self._integers += [(start + offset, hole) for offset, hole in inner._integers]
        return self

    @property
    def size(self) -> int:
        """Bytes of every row."""
        return len(self._content)

    def pour(self, columns: Columns, n: int) -> list[bytes]:
        """The messages of ``n`` rows.

        Args:
            columns: every hole of the template, each of length n.
            n: rows.
        """
        rows = np.tile(np.frombuffer(bytes(self._content), np.uint8), (n, 1))
        if self._doubles:
            values = np.column_stack([columns[hole] for _, hole in self._doubles]).astype("<f8")
            offsets = np.array([offset for offset, _ in self._doubles])
            rows[:, (offsets[:, None] + np.arange(8)).ravel()] = values.view(np.uint8)
        if self._integers:
            numbers = np.column_stack([columns[hole] for _, hole in self._integers]).astype(np.uint64)
            groups = (numbers[:, :, None] >> _SHIFTS & np.uint64(0x7F)).astype(np.uint8) | _CONTINUES
            offsets = np.array([offset for offset, _ in self._integers])
            rows[:, (offsets[:, None] + np.arange(VARINT_BYTES)).ravel()] = groups.reshape(n, -1)
        whole, size = rows.tobytes(), self.size
        return [whole[start : start + size] for start in range(0, n * size, size)]
