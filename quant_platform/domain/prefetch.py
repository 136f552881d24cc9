"""Have the processor load a symbol's record before its tick's turn, where all records are too many for its caches.

A record that lies in the third-level cache or in memory is forty to a hundred nanoseconds away, and which one the next
tick needs is known long before. Numba has no call for it, so this is LLVM's.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from quant_platform.kernel import kernel

_declared: Any = cgutils.get_or_insert_function  # its stubs know no types

AHEAD = 8
"""Ticks between the load and the turn: what a core does in two memory accesses."""
STAY = 500
"""Records of so many symbols stay in the caches by themselves, and loading them would only cost."""
_LINE_BYTES = 64
_TO_BE_WRITTEN, _TO_BE_KEPT, _DATA = 1, 3, 1


@kernel
def ticks_ahead(records: Any) -> int:
    """How far ahead of their ticks these records, one a symbol, are to be loaded; 0: not at all."""
    return AHEAD if records.size > STAY else 0


def prefetch(records: Any, number: int) -> None:
    """Begin to load ``records[number]``. Changes nothing, and without the compiler does nothing.

    Args:
        records: one-dimensional and contiguous, of a structured type.
        number: of one of them.
    """


@intrinsic
def _line_by_line(_typing: Any, records: Any, number: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        place = arguments[1]
        word, integer, pointer = place.type, ir.IntType(32), ir.IntType(8).as_pointer()
        start = builder.add(builder.ptrtoint(array.data, word), builder.mul(place, word(size)))
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        fetch = _declared(builder.module, kind, "llvm.prefetch.p0")
        how = [integer(each) for each in (_TO_BE_WRITTEN, _TO_BE_KEPT, _DATA)]
        for offset in (*range(0, size, _LINE_BYTES), size - 1):  # records begin anywhere in a line
            builder.call(fetch, [builder.inttoptr(builder.add(start, word(offset)), pointer), *how])
        return context.get_dummy_value()

    return types.void(records, types.int64), code


_load: Any = _line_by_line  # called in kernels only, with the arguments that come after the first


@overload(prefetch)
def _compiled(records: Any, number: Any) -> Any:
    def load(records: Any, number: Any) -> Any:
        _load(records, number)

    return load
