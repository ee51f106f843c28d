"""Kernels are compiled as a whole; numba at large is left as it was."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba.core.codegen import JITCodeLibrary

from volconv.kernels.jit import device
from volconv.kernels.parts import whole_only


def _compile(function, name):
    dispatcher = numba.njit(function)
    with whole_only(dispatcher.targetctx, name):
        dispatcher.compile(numba.float64(numba.float64))
    return dispatcher


def test_what_a_kernel_calls_is_part_of_it_and_has_no_machine_code():
    @device
    def square(x):
        return x * x + max(x, 0.0)

    def whole(x):
        return square(x) + square(x + 1)

    compiled = _compile(whole, whole.__qualname__)
    assert compiled(2.0) == 17.0 + 1.0
    (part,) = square.overloads.values()
    assert part.library.get_pointer_to_function(part.fndesc.llvm_func_name) == 0


def test_numba_is_left_as_it_was_also_after_a_failure():
    def wrong(x):
        return x.no_such_attribute

    with pytest.raises(numba.TypingError):
        _compile(wrong, wrong.__qualname__)

    @numba.njit
    def ordinary(x):
        return max(x, 1.0) + np.sqrt(x)

    assert ordinary(4.0) == 6.0
    (result,) = ordinary.overloads.values()
    assert type(result.library) is JITCodeLibrary
    assert result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
