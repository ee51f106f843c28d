"""Counts what the Python objects made from a file take, so that a small file cannot fill memory with them."""

from __future__ import annotations

from ..errors import WeightsError
from .weight_file import WeightFile

_FACTOR = 10
_FREE = 1 << 21


class Meter:
    """A budget of about ten times the file's size, and 2 MiB.

    Parameters
    ----------
    file : WeightFile
        For messages, and for its size.
    what : str
        What is read, for messages: ``pickle``, ``JSON``.
    """

    def __init__(self, file: WeightFile, what: str) -> None:
        self._file = file
        self._what = what
        self._left = _FACTOR * file.size + _FREE

    def allow(self, file_bytes: int) -> None:
        """Count `file_bytes` more in other files that belong to it."""
        self._left += _FACTOR * file_bytes

    def spend(self, nbytes: int) -> None:
        """Count `nbytes` of memory more.

        Raises
        ------
        WeightsError
            If it is too much for a file of this size.
        """
        self._left -= nbytes
        if self._left < 0:
            message = f"{self._what}: found one that unfolds to many times its size, expected weights"
            raise WeightsError(message, code="weights.limit", file=self._file.name)
