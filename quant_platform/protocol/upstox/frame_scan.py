"""Read what ticks need out of a frame's bytes in one pass, without making an object of anything in it.

Every byte is checked, those of messages that no tick needs too. What only the generated parser should judge, because it
merges, replaces or refuses, makes the frame *odd*; :func:`plain` then writes the same frame in the plainest way.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.ticks import integer, unsigned
from quant_platform.kernel import kernel
from quant_platform.protocol.upstox import frame_tables as tables
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

ODD = -1
"""Result of a scan: only the generated parser can tell what the frame says."""
TOO_MANY = -2
"""Result of a scan: the frame has more entries than there is room for."""
NOT_OURS = -1
"""Number of an entry whose key is not in the table."""

ROW = np.dtype(
    [
        ("number", np.int64),  # of its key, or NOT_OURS
        ("marks", np.int64),  # HAS_PRICE | IS_TICK
        ("levels", np.int64),  # of its book, those that do not count included
        ("key_at", np.int64),  # place of its key in the frame
        ("key_size", np.int64),  # bytes; -1: it has no key
        ("hash", np.int64),  # of its key
    ]
)
"""One entry of a frame."""
_KEY = np.dtype([("hash", np.int64), ("at", np.int64), ("size", np.int64), ("number", np.int64), ("scan", np.int64)])

_VARINT, _FIXED_64, _LENGTH = tables.VARINT, tables.FIXED_64, tables.LENGTH
_SKIP, _ENTER, _KEY_TEXT, _PUT_HEAD = tables.SKIP, tables.ENTER, tables.KEY, tables.PUT_HEAD
_KIND, _SCANS = tables.KIND, tables.SCANS
_ACTIONS, _COLUMNS, _CHILDREN, _ONCE, _MARKS = tables.TABLES
_TAGS = _ACTIONS.shape[1]
_ENTRY, _QUOTE, _SPARE = tables.ENTRY, tables.QUOTE, tables.PLACES - 1
_ENUM_MASK = 2**32 - 1
_LOWEST_TAG, _HIGHEST_TAG = 1 << 3, 2**14 - 1
_VARINT_BITS, _SIGN_BIT = 70, 63
_DOUBLE_BYTES = 8
_LENGTH_BYTES = 4
"""Of the size of a text or message, which is then below 256 MB."""
_FNV_START, _FNV_PRIME, _FNV_MASK = 2166136261, 16777619, 2**32 - 1


class Keys(NamedTuple):
    """Instrument keys and their numbers, to be found by their bytes: open addressing, at most half full."""

    slots: NDArray[np.int64]  # place in ``known``, or -1; a power of two of them
    known: NDArray[Any]
    text: NDArray[np.uint8]  # the keys, one after another


class Scratch(NamedTuple):
    """What a scan writes: the entries of one frame, in its order, and their values as they came."""

    head: NDArray[np.int64]  # KIND, STAMP, SCANS
    rows: NDArray[Any]  # ROW
    doubles: NDArray[np.float64]  # (rows, DOUBLES) rupees
    integers: NDArray[np.int64]  # (rows, INTEGERS) shares
    above: NDArray[np.int64]  # (DEEPEST, 3): the messages around the one being read; number, end, what it brought


@kernel
def _double(frame: Any, at: int) -> float:
    at = unsigned(at)
    low = integer(frame[at]) | integer(frame[at + 1]) << 8 | integer(frame[at + 2]) << 16
    low |= integer(frame[at + 3]) << 24 | integer(frame[at + 4]) << 32 | integer(frame[at + 5]) << 40
    high = integer(frame[at + 6]) << 48
    return np.uint64(np.uint64(low | high) | np.uint64(frame[at + 7]) << np.uint64(56)).view(np.float64)


@kernel
def _varint(frame: Any, at: int, end: int) -> tuple[int, int]:
    """An integer and where the next member starts, or ODD."""
    value = integer(0)
    for bits in range(0, _VARINT_BITS, 7):
        if at >= end:
            return value, ODD
        byte = integer(frame[unsigned(at)])
        value |= (byte & 0x7F) << bits
        at += 1
        if byte < 0x80:  # the highest bit says whether more bytes follow
            # The tenth byte holds the sign; anything else in it would not fit.
            return value, (at if bits < _SIGN_BIT or byte == 1 else ODD)
    return value, ODD


@kernel
def _tag(frame: Any, at: int, end: int) -> tuple[int, int]:
    """A tag of one or two bytes and where the member's value starts, or ODD."""
    tag = integer(frame[unsigned(at)])
    at += 1
    if tag >= 0x80 and at < end:
        tag += (integer(frame[unsigned(at)]) - 1) << 7
        at += 1
    return tag, (at if _LOWEST_TAG <= tag <= _HIGHEST_TAG else ODD)


@kernel
def _is_ascii(frame: Any, at: int, end: int) -> bool:
    bits = 0
    for i in range(at, end):
        bits |= frame[unsigned(i)]
    return bits < 0x80


@kernel
def _begin_entry(scratch: Scratch, row: int) -> None:
    scratch.rows[row]["key_size"] = -1
    scratch.rows[row]["marks"] = 0
    scratch.rows[row]["levels"] = 0
    scratch.doubles[row] = 0.0
    scratch.integers[row] = 0


@kernel
def _begin_level(scratch: Scratch, row: int) -> int:
    """Count a level; returns how far its values stand behind those of the first."""
    level: int = min(scratch.rows[row]["levels"], _SPARE)
    scratch.rows[row]["levels"] += 1
    return level


@kernel
def _walk(frame: bytes, scratch: Scratch, is_plain: bool) -> int:  # noqa: PLR0912  # one pass, without a stack of calls
    """Read the entries, all but the numbers of their keys."""
    rows, above = scratch.rows, scratch.above
    depth, message, end, seen = 0, 0, len(frame), 0
    at = row = shift = 0
    while True:
        while at == end:
            if depth == 0:
                return row
            row += message == _ENTRY
            depth -= 1
            outer = above[unsigned(depth)]
            message, end, seen, shift = unsigned(outer[0]), outer[1], outer[2], 0
        tag, at = _tag(frame, at, end)
        kind, member, entry = tag & 7, unsigned(tag if tag < _TAGS else 0), unsigned(row)
        # An entry with a member that the parser does not know is none.
        if at == ODD or (message == _ENTRY and _ONCE[message, member] == 0):
            return ODD
        action, column = _ACTIONS[message, member], unsigned(_COLUMNS[message, member] + shift)
        if kind == _FIXED_64 and end - at >= _DOUBLE_BYTES:
            scratch.doubles[entry, column] = _double(frame, at)
            at += _DOUBLE_BYTES
            continue
        start = at
        value, at = _varint(frame, at, end)
        if at == ODD:
            return ODD
        if kind == _VARINT:
            if action == _PUT_HEAD:
                scratch.head[column] = value
            else:
                scratch.integers[entry, column] = value
            continue
        if kind != _LENGTH or at - start > _LENGTH_BYTES or value > end - at or seen & _ONCE[message, member]:
            return ODD
        seen |= _ONCE[message, member]
        if action == _ENTER:
            outer = above[unsigned(depth)]
            outer[0], outer[1], outer[2] = message, end, seen
            depth += 1
            marks, end, seen = _MARKS[message, member], at + value, 0
            message = unsigned(_CHILDREN[message, member])
            if message == _ENTRY:
                if row == rows.size - 1:
                    return TOO_MANY
                _begin_entry(scratch, entry)
            elif message == _QUOTE:
                shift = _begin_level(scratch, entry)
            rows[entry]["marks"] |= marks
            continue
        if action != _SKIP and not (is_plain or _is_ascii(frame, at, at + value)):
            return ODD
        if action == _KEY_TEXT:
            rows[entry]["key_at"], rows[entry]["key_size"] = at, value
        at += value


@kernel
def _name(frame: bytes, keys: Keys, scratch: Scratch, n: int, is_plain: bool) -> bool:
    """Find the numbers of the entries' keys; whether every entry has a key of its own."""
    slots, known, text, rows = keys.slots, keys.known, keys.text, scratch.rows
    mask = slots.size - 1
    scans = scratch.head[_SCANS]
    for i in range(n):
        row = rows[i]
        at, size = row["key_at"], row["key_size"]
        if size < 0:
            return False
        found = _FNV_START
        for k in range(at, at + size):
            found = ((found ^ frame[unsigned(k)]) * _FNV_PRIME) & _FNV_MASK
        row["hash"] = found
        row["number"] = NOT_OURS
        slot = found & mask
        place = slots[unsigned(slot)]
        while place >= 0:
            key = known[unsigned(place)]
            if key["hash"] == found and key["size"] == size:
                start, k = key["at"], 0
                while k < size and text[unsigned(start + k)] == frame[unsigned(at + k)]:
                    k += 1
                if k == size:
                    if key["scan"] == scans:
                        return False
                    row["number"], key["scan"] = key["number"], scans
                    break
            slot = (slot + 1) & mask
            place = slots[unsigned(slot)]
        if place < 0 and not is_plain:
            for other in range(i):
                if rows[other]["number"] == NOT_OURS and rows[other]["hash"] == found:
                    return False  # the same key again, or one that looks like it
    return True


@kernel
def scan(frame: bytes, keys: Keys, scratch: Scratch, is_plain: bool) -> int:
    """Read a frame.

    Args:
        frame: one binary message of the feed.
        keys: of the entries that are wanted; they bear the number of the scan that met them last.
        scratch: takes what the frame says, and counts the scans: not older than its keys.
        is_plain: whether :func:`plain` wrote it, so that every text is known to be well-formed.

    Returns:
        The number of entries, ODD or TOO_MANY; then what stands in ``scratch`` means nothing.
    """
    head = scratch.head
    head[:_SCANS] = 0
    head[_SCANS] += 1
    n = _walk(frame, scratch, is_plain)
    head[_KIND] &= _ENUM_MASK
    return n if n <= 0 or _name(frame, keys, scratch, n, is_plain) else ODD


def plain(payload: bytes) -> bytes:
    """The same frame as the generated parser would write it: every key once, nothing merged, nothing unknown.

    Raises:
        DecodeError: it is no frame.
    """
    frame = wire.FeedResponse.FromString(payload)
    frame.DiscardUnknownFields()
    frame.ClearField("marketInfo")
    return frame.SerializeToString()


def _hash(key: bytes) -> int:
    found = _FNV_START
    for byte in key:
        found = ((found ^ byte) * _FNV_PRIME) & _FNV_MASK
    return found


def keys_of(numbers: Mapping[str, int]) -> Keys:
    """The table of some keys.

    Args:
        numbers: key → its number.
    """
    encoded = [key.encode() for key in numbers]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    known = np.zeros(len(encoded), _KEY)
    slots = np.full(1 << (2 * len(encoded)).bit_length(), -1, np.int64)
    at = 0
    for place, (key, number) in enumerate(zip(encoded, numbers.values(), strict=True)):
        found = _hash(key)
        known[place] = found, at, len(key), number, 0
        slot = found & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = place
        at += len(key)
    return Keys(slots, known, text)


def scratch_for(rows: int) -> Scratch:
    """Room for a frame of so many entries."""
    rows += 1  # what stands behind the last entry is written as if it was one
    head, above = np.zeros(tables.HEAD, np.int64), np.zeros((tables.DEEPEST, 3), np.int64)
    doubles, integers = np.zeros((rows, tables.DOUBLES)), np.zeros((rows, tables.INTEGERS), np.int64)
    return Scratch(head, np.zeros(rows, ROW), doubles, integers, above)
