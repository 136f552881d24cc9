"""Where history and backups are kept: whole objects under keys such as ``ticks/date=2026-07-31/ticks.parquet``."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol


class ObjectInfo(NamedTuple):
    """What is known of an object without reading it."""

    key: str
    size: int  # bytes
    etag: str  # changes with every write
    modified: datetime  # UTC


class ObjectStore(Protocol):
    """Objects appear whole or not at all, and are durable when a call that writes returns.

    Any call raises :class:`UnavailableError` where the store cannot be reached or written now, and
    :class:`ConfigurationError` where it refuses us.
    """

    @property
    def where(self) -> str:
        """The store as a person would name it, without secrets."""
        ...

    def put(self, key: str, source: BinaryIO) -> None:
        """Write an object of any size, read in parts from where the (seekable) source stands; replaces another."""
        ...

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write a small object unless there is one of this key.

        Returns:
            False where there is one; it stays as it is.
        """
        ...

    def get(self, key: str, target: BinaryIO) -> None:
        """Read an object of any size in parts. After an error part of it may be in the target.

        Raises:
            DataError: there is no such object.
        """
        ...

    def find(self, key: str) -> ObjectInfo | None:
        """What is known of an object; None where there is none."""
        ...

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """Every object below a folder (``ticks/date=2026-07-31``), those of its folders too, in no order."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is none the less gone."""
        ...
