"""Arrow stream files that grow batch by batch, and are read up to where a kill tore them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from pyarrow import ipc

SUFFIX = ".arrows"

_COMPRESSED = ipc.IpcWriteOptions(compression="lz4")


class Segment:
    """A file that this process appends to: each batch goes to the operating system whole, at once.

    Args:
        folder: where the next free number is taken; made if it is not there.
        schema: of every batch.
    """

    def __init__(self, folder: Path, schema: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(path.stem) for path in segments_in(folder)]
        self.path = folder / f"{max(taken, default=0) + 1:06d}{SUFFIX}"
        self.schema = schema
        self._file = self.path.open("xb", buffering=0)
        self._writer = ipc.new_stream(self._file, schema, options=_COMPRESSED)

    def write(self, batch: Any) -> None:
        """Append a record batch."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the end mark and let go of the file."""
        self._writer.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def segments_in(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first; none where there is no folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_segment(path: Path, columns: tuple[str, ...] = ()) -> Iterator[Any]:
    """Record batches of a segment, one in memory at a time; a torn end ends them.

    Args:
        path: of the segment.
        columns: only these, in the segment's order; empty for all.
    """
    with path.open("rb") as file:
        try:
            schema = ipc.open_stream(file).schema
            wanted = [place for place, name in enumerate(schema.names) if not columns or name in columns]
            file.seek(0)
            reader = ipc.open_stream(file, options=ipc.IpcReadOptions(included_fields=wanted))
            while True:
                yield reader.read_next_batch()
        except (StopIteration, pa.ArrowInvalid, OSError):
            return
