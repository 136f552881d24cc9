"""Frames as no exchange would send them, and as the wire allows: any order, twice, unknown, too long, broken."""

import struct
from random import Random

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

OURS = ("NSE_EQ|INE467B01029", "NSE_EQ|INE009A01021", "NSE_EQ|INE002A01018")
_KEYS = (*OURS, "NSE_INDEX|Nifty 50", "NSE_EQ|INE002A01019", "NSE_EQ|INE002A0101", "A")
"""What entries are about."""
_TEXTS = ("1d", "I1", "NSE_EQ", "", "a" * 200)
_STRANGE_TEXTS = (b"", "é|ü".encode(), b"\xff\xfe", b"\xc3")
_DOUBLES = (0.0, -0.0, 3500.05, 0.005, 0.015, 1e-9, 21474836.47, 21474836.48, 2147483647.0, -1.0, 1e300)
_DOUBLES += (float("inf"), float("-inf"), float("nan"))
_INTEGERS = (0, 1, 2, 100, 127, 128, 300, 2**31 - 1, 2**31, 2**35, 2**56, 2**63 - 1, -1, -(2**63))
_STAMPS = (1777002300000, 1777002300250, 1776915900000, 1777002400000, 0, -5, 2**62)
_BYTES = (0, 1, 0x7F, 0x80, 0xFF, 8, 10, 11, 12)
_ODDITIES = (0.0, 0.0, 0.002, 0.02)


class Writer:
    """Writes messages member by member."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._oddity = 0.0
        self._keys: list[str] = []

    def frame(self) -> bytes:
        """One frame, sound or not."""
        self._oddity = self._random.choice(_ODDITIES)
        self._keys = self._random.sample(_KEYS, len(_KEYS))
        whole = self.message(wire.FeedResponse.DESCRIPTOR)
        chance = self._random.random()
        if chance < 0.05:
            return whole[: self._random.randrange(len(whole) + 1)]
        if chance < 0.2 and whole:
            broken = bytearray(whole)
            for _ in range(self._random.randint(1, 3)):
                broken[self._random.randrange(len(broken))] = self._random.choice(_BYTES)
            return bytes(broken)
        return whole

    def message(self, kind: Descriptor) -> bytes:
        """The members of a message in any order, some of them more than once or not at all."""
        chosen = [self._random.choice((*one.fields, one.fields[0])) for one in kind.oneofs]
        fields = [field for field in kind.fields if field.containing_oneof is None or field in chosen or self._is_odd()]
        members = [self._member(kind, field) for field in fields for _ in range(self._times(kind, field))]
        if self._is_odd():
            members.append(self._unknown())
        self._random.shuffle(members)
        return b"".join(members)

    def _is_odd(self) -> bool:
        return self._random.random() < self._oddity

    def _times(self, kind: Descriptor, field: FieldDescriptor) -> int:
        if self._is_odd():
            return 2
        if field.name == "feeds":
            return self._random.randint(0, 6)
        if field.name == "bidAskQuote":
            return self._random.choice((0, 1, 3, 5, 6, 7))
        if field.is_repeated or field.name == "marketInfo":
            return self._random.choice((0, 0, 1, 2))
        if kind.GetOptions().map_entry or field.containing_oneof is not None:
            return int(self._random.random() < 1 - self._oddity)
        return int(self._random.random() < 0.8)

    def _member(self, kind: Descriptor, field: FieldDescriptor) -> bytes:
        if self._is_odd():
            return self._unknown(field.number)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            return self._delimited(field.number, self.message(field.message_type))
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._delimited(field.number, self._text(kind))
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return self._tag(field.number, 1) + struct.pack("<d", self._double())
        return self._tag(field.number, 0) + self._varint(self._integer(field))

    def _text(self, kind: Descriptor) -> bytes:
        if self._is_odd():
            return self._random.choice(_STRANGE_TEXTS)
        if kind.name != "FeedsEntry":
            return self._random.choice(_TEXTS).encode()
        is_again = not self._keys or self._is_odd()
        return (self._random.choice(_KEYS) if is_again else self._keys.pop()).encode()

    def _double(self) -> float:
        return self._random.choice(_DOUBLES) if self._random.random() < 0.2 else self._random.randint(1, 99999) / 20

    def _integer(self, field: FieldDescriptor) -> int:
        if field.name == "currentTs":
            return self._random.choice(_STAMPS if self._random.random() < 0.1 else _STAMPS[:2])
        if field.type == FieldDescriptor.TYPE_ENUM:
            return self._random.choice((0, 1, 1, 1, 2, 3, 7, -1, 2**32, 2**31))
        return self._random.choice(_INTEGERS) if self._random.random() < 0.2 else self._random.randint(0, 10**6)

    def _unknown(self, number: int | None = None) -> bytes:
        """A member of any number and wire type, a group among them; tags that no parser takes too."""
        number = self._random.choice((0, 7, 15, 16, 17, 31, 2047, 2048, 2**29 - 1)) if number is None else number
        kind = self._random.choice((0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 5))
        body = {0: self._varint(5), 1: bytes(8), 2: b"\x02hi", 3: b"\x08\x01" + self._tag(number, 4), 5: bytes(4)}
        return self._tag(number, kind) + body.get(kind, b"")

    def _tag(self, number: int, kind: int) -> bytes:
        return self._varint(number << 3 | kind)

    def _delimited(self, number: int, content: bytes) -> bytes:
        return self._tag(number, 2) + self._varint(len(content)) + content

    def _varint(self, value: int) -> bytes:
        """Of the least size, or with zeros in front; up to one byte longer than an integer may be."""
        value &= 2**64 - 1
        parts = [value & 0x7F]
        while value := value >> 7:
            parts.append(value & 0x7F)
        if self._random.random() < self._oddity / 4:
            parts += [0] * self._random.choice((1, 2, 4, 5, 6, 9, 10))
        return bytes([*(part | 0x80 for part in parts[:-1]), parts[-1]])


def frames(random: Random, n: int) -> list[bytes]:
    """Frames of one stream."""
    writer = Writer(random)
    return [writer.frame() for _ in range(n)]
