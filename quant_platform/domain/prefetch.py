"""Have the processor load what lies too far away for its caches before its turn: symbols' records, rows of a batch.

What lies in the third-level cache or in memory is forty to a hundred nanoseconds away, and which record the next tick
needs is known long before. Numba has no call for it, so this is LLVM's.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from quant_platform.kernel import kernel

_declared: Any = cgutils.get_or_insert_function  # its stubs know no types

AHEAD = 8
"""Ticks, or rows, between the load and the turn: what a core does in two memory accesses."""
STAY = 500
"""Records of so many symbols stay in the caches by themselves, and loading them would only cost."""
_LINE_BYTES = 64
_TO_BE_READ, _TO_BE_KEPT, _DATA = 0, 3, 1


@kernel
def ticks_ahead(records: Any) -> int:
    """How far ahead of their ticks these records, one a symbol, are to be loaded; 0: not at all."""
    return AHEAD if records.size > STAY else 0


def prefetch(rows: Any, number: int, size: int) -> None:
    """Begin to load ``rows[number]``. Changes nothing, and without the compiler does nothing.

    Args:
        rows: records, or the rows of a matrix.
        number: of one of them.
        size: bytes of it from its start, > 0.
    """


def prefetch_element(matrix: Any, row: int, column: int) -> None:
    """Begin to load ``matrix[row, column]`` of a C-contiguous matrix, as :func:`prefetch` does a row."""


@kernel
def prefetch_levels(columns: Any, row: int) -> None:
    """Begin to load a row of depth; where ``row`` is negative there is none.

    Args:
        columns: four of (n, levels), as those of a tick batch.
        row: which row.
    """
    if row >= 0:
        for side in range(4):
            column = columns[side]
            if column.shape[1] > 0:
                prefetch(column, row, column.shape[1] * column.itemsize)


@intrinsic
def _line(_typing: Any, rows: Any, number: Any, offset: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, arguments[0])
        _, place, byte = arguments
        word, integer, pointer = place.type, ir.IntType(32), ir.IntType(8).as_pointer()
        if kind.ndim == 1:  # a constant, where a stride would be multiplied by
            stride = word(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        else:
            stride = builder.extract_value(array.strides, 0)
        start = builder.add(builder.ptrtoint(array.data, word), builder.mul(place, stride))
        fetch = _declared(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer]), "llvm.prefetch.p0"
        )
        how = [integer(each) for each in (_TO_BE_READ, _TO_BE_KEPT, _DATA)]
        builder.call(fetch, [builder.inttoptr(builder.add(start, byte), pointer), *how])
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64), code


_load: Any = _line  # called in kernels only, with the arguments that come after the first


@overload(prefetch)
def _compiled(rows: Any, number: Any, size: Any) -> Any:
    def load(rows: Any, number: Any, size: Any) -> Any:
        for offset in range(0, size, _LINE_BYTES):
            _load(rows, number, offset)
        _load(rows, number, size - 1)  # they begin anywhere in a line

    return load


@overload(prefetch_element)
def _compiled_element(matrix: Any, row: Any, column: Any) -> Any:
    def load(matrix: Any, row: Any, column: Any) -> Any:
        _load(matrix, row, column * matrix.itemsize)

    return load
