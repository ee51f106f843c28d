"""A short row of values on the stack of the thread that runs a loop: what a kernel keeps beside its arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from .jit import intrinsic, types

_CACHE_LINE = 64


@cache
def make_local_row(element: Any, length: int) -> Callable[[], Any]:
    """Return an intrinsic that gives a row of `length` elements of the numba type `element`, indexed from 0.

    It is to be called inside a parallel loop's body: called before it, all threads would share the row. A call at one
    place gives the same memory every time.
    """

    def build(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        kind = ir.ArrayType(context.get_value_type(element), length)
        room = cgutils.alloca_once(builder, kind)
        room.align = _CACHE_LINE
        return builder.bitcast(room, context.get_value_type(element).as_pointer())

    made: Callable[[], Any] = intrinsic(lambda _context: (types.CPointer(element)(), build))
    return made
