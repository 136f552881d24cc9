"""What a reader of frames does with each member of each message, made from the generated description of the wire."""

from typing import NamedTuple

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray

from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Wire types, the low three bits of a tag."""

# What a reader does with a member. Numbers go to their column; a member that it does not know, or whose wire type is
# another than it should be, is skipped.
SKIP, ENTER, TEXT, KEY, PUT_HEAD = range(5)

KIND, STAMP, SCANS = 0, 1, 2
"""Places in the head of a scan: type and stamp (ms) of the frame; how many were scanned so far."""
HEAD = 3

PLACES = 6
"""Columns of a value that stands in every level of a book: the five that count, and one for all that do not."""
NOWHERE = 0
"""First of the columns for values that nobody asks for."""
PRICE, AVERAGE, BID_PRICE, ASK_PRICE, DOUBLES = PLACES, PLACES + 1, PLACES + 2, 2 * PLACES + 2, 3 * PLACES + 2
"""Columns of what an entry says in doubles (rupees), and how many there are."""
VOLUME, BID_SHARES, ASK_SHARES, INTEGERS = PLACES, PLACES + 1, 2 * PLACES + 1, 3 * PLACES + 1
"""Columns of what an entry says in integers (shares), and how many there are."""

HAS_PRICE, IS_TICK = 1, 2
"""What it says of an entry that a message is in it: that it brings a trade, that it can become a tick."""

_ROOT = wire.FeedResponse.DESCRIPTOR
_ENTRY = _ROOT.nested_types_by_name["FeedsEntry"]

_HEAD_PLACES = {(_ROOT, "type"): KIND, (_ROOT, "currentTs"): STAMP}
_COLUMNS = {
    (wire.LTPC.DESCRIPTOR, "ltp"): PRICE,
    (wire.MarketFullFeed.DESCRIPTOR, "atp"): AVERAGE,
    (wire.MarketFullFeed.DESCRIPTOR, "vtt"): VOLUME,
    (wire.FirstLevelWithGreeks.DESCRIPTOR, "vtt"): VOLUME,
    (wire.Quote.DESCRIPTOR, "bidP"): BID_PRICE,
    (wire.Quote.DESCRIPTOR, "bidQ"): BID_SHARES,
    (wire.Quote.DESCRIPTOR, "askP"): ASK_PRICE,
    (wire.Quote.DESCRIPTOR, "askQ"): ASK_SHARES,
}
_MARKS = {
    (wire.Feed.DESCRIPTOR, "ltpc"): HAS_PRICE | IS_TICK,
    (wire.Feed.DESCRIPTOR, "firstLevelWithGreeks"): IS_TICK,
    (wire.FullFeed.DESCRIPTOR, "marketFF"): IS_TICK,
    (wire.MarketFullFeed.DESCRIPTOR, "ltpc"): HAS_PRICE,
    (wire.FirstLevelWithGreeks.DESCRIPTOR, "ltpc"): HAS_PRICE,
}
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: FIXED_64,
    FieldDescriptor.TYPE_INT64: VARINT,
    FieldDescriptor.TYPE_BOOL: VARINT,
    FieldDescriptor.TYPE_ENUM: VARINT,
    FieldDescriptor.TYPE_STRING: LENGTH,
    FieldDescriptor.TYPE_MESSAGE: LENGTH,
}


class Tables(NamedTuple):
    """By number of the message and tag of the member."""

    actions: NDArray[np.int64]
    columns: NDArray[np.int64]  # of a number: where it goes
    children: NDArray[np.int64]  # ENTER: number of the message that the member holds
    once: NDArray[np.int64]  # ENTER, KEY: bit of what may come but once; members of a oneof share one
    marks: NDArray[np.int64]  # ENTER: HAS_PRICE | IS_TICK


def _messages() -> list[Descriptor]:
    """Every message that a frame can hold, the frame itself first."""
    found = [_ROOT]
    for message in found:
        children = [field.message_type for field in message.fields if field.message_type is not None]
        found += [child for child in dict.fromkeys(children) if child not in found]
    return found


def _once(field: FieldDescriptor) -> int:
    if field.is_repeated:
        return 0
    first = field if field.containing_oneof is None else field.containing_oneof.fields[0]
    return 1 << first.number


def _tables(messages: list[Descriptor]) -> Tables:
    tags = 8 * (1 + max(field.number for message in messages for field in message.fields))
    tables = Tables._make(np.zeros((len(messages), tags), np.int64) for _ in Tables._fields)
    for number, message in enumerate(messages):
        for field in message.fields:
            place, name = (number, field.number << 3 | _WIRE_TYPES[field.type]), (message, field.name)
            child = field.message_type
            if child is not None:
                tables.actions[place], tables.children[place] = ENTER, messages.index(child)
                tables.once[place] = _once(field)
                tables.marks[place] = _MARKS.get(name, 0)
            elif name in _COLUMNS:
                tables.columns[place] = _COLUMNS[name]
            elif name in _HEAD_PLACES:
                tables.actions[place], tables.columns[place] = PUT_HEAD, _HEAD_PLACES[name]
            elif name == (_ENTRY, "key"):
                tables.actions[place], tables.once[place] = KEY, _once(field)
            elif field.type == FieldDescriptor.TYPE_STRING:
                tables.actions[place] = TEXT
    return tables


_ALL = _messages()
ENTRY = _ALL.index(_ENTRY)
"""Number of an entry of the map ``feeds``."""
QUOTE = _ALL.index(wire.Quote.DESCRIPTOR)
"""Number of a level of the book."""
TABLES = _tables(_ALL)
DEEPEST = 8
"""Messages within messages, at most: frame, entry, feed, full feed, market, book, quote; and one to spare."""
