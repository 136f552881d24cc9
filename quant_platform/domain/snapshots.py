"""The state of a core as bytes, and back: named arrays and plain values, checked against what is expected."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import LedgerError

Array = NDArray[Any]


def pack(kind: str, arrays: Mapping[str, Array], values: Mapping[str, Any] | None = None) -> bytes:
    """One core's state.

    Args:
        kind: which core and version it is, checked on the way back.
        arrays: name → array of any fixed-size dtype.
        values: plain values that MessagePack can carry.
    """
    body = {
        name: (str(np.lib.format.dtype_to_descr(array.dtype)), array.shape, array.tobytes())
        for name, array in arrays.items()
    }
    return msgspec.msgpack.encode({"kind": kind, "arrays": body, "values": dict(values or {})})


def unpack(kind: str, state: bytes, dtypes: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays (copied, writable) and values of a snapshot.

    Args:
        kind: as given to :func:`pack`.
        state: what it returned.
        dtypes: name → dtype that the core keeps now; all must be there.

    Raises:
        LedgerError: the snapshot is of another core, version or layout.
    """
    cure = "start anew with --fresh"
    try:
        document = msgspec.msgpack.decode(state)
        found, body, values = document["kind"], document["arrays"], document["values"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise LedgerError("the stored state cannot be read", cure) from None
    if found != kind:
        raise LedgerError(f"the stored state is of {found!r}, not of {kind!r}", cure)
    arrays = {}
    for name, dtype in dtypes.items():
        wanted = np.dtype(dtype)
        descr, shape, raw = body.get(name, ("", (), b""))
        if descr != str(np.lib.format.dtype_to_descr(wanted)):
            raise LedgerError(f"the stored state of {kind!r} has another layout of {name!r}", cure)
        arrays[name] = np.frombuffer(raw, wanted).reshape(shape).copy()
    return arrays, values


def grow(array: Array, rows: int) -> Array:
    """The array with at least ``rows`` rows, new ones zeroed; room is doubled so that growing stays cheap."""
    if rows <= array.shape[0]:
        return array
    larger = np.zeros((max(rows, 2 * array.shape[0]), *array.shape[1:]), array.dtype)
    larger[: array.shape[0]] = array
    return larger
