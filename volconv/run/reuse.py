"""Memory for results, used again once a result has been dropped: fresh pages cost more than many convolutions."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MOST_BYTES = 1 << 30
"""Larger results go back to the system: what is dropped should be free for others."""


class ResultMemory:
    """Gives memory for results of one size, and takes it back when nothing refers to it any more.

    A result and every view of it, in whatever library, keep the memory from being given again.
    """

    def __init__(self) -> None:
        self._free: deque[Array] = deque(maxlen=1)  # one: what a loop that drops each result before the next call needs

    @property
    def nbytes(self) -> int:
        """Bytes that wait for the next result."""
        return sum(memory.nbytes for memory in list(self._free))

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array of that shape with any values, which begins at a cache line.

        Raises
        ------
        MemoryError, ValueError
            There is no such memory, or it could not be counted.
        """
        from ..engine.arena import allot

        elements = int(np.prod(shape, dtype=object))
        try:
            memory = self._free.pop()
        except IndexError:
            memory = None
        if memory is None or memory.size != elements or memory.dtype != dtype:
            memory = allot(elements, dtype)
        return np.asarray(_Lease(memory, self)).reshape(shape)


class _Lease:
    """What a result's memory belongs to while anything refers to it."""

    def __init__(self, memory: Array, home: ResultMemory) -> None:
        self._memory = memory
        self._home = weakref.ref(home)
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        home = self._home()
        if home is not None and self._memory.nbytes <= _MOST_BYTES:
            home._free.append(self._memory)
