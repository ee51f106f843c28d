"""One pickle of names and arrays: what MegEngine's ``save`` writes, and Lucid 2 (``.lcd``, ``.lct``).

MegEngine wrote NumPy arrays, and its own tensors in three forms; Lucid 2 puts arrays under ``content``.
"""

from __future__ import annotations

from typing import Any

from .base import WeightsFormat
from .byte_sources import FileBytes
from .pickle_input import PickleInput
from .pickle_names import name_tensors
from .strided import ViewReader
from .unpickle import Loader, unpickle
from .weight_file import WeightFile

_LUCID2 = {"type", "format_version", "content"}


def is_pickle(file: WeightFile) -> bool:
    """Whether the file begins as a pickle of protocol 2 to 5 does."""
    return file.head[:1] == b"\x80" and file.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read_pickle(file: WeightFile, load_persistent: Loader | None = None) -> tuple[PickleInput, Any]:
    """Return the only pickle of a file: its bytes, and what it describes."""
    pickle = PickleInput(FileBytes(file, 0, file.size), file)
    root = unpickle(pickle, load_persistent)
    if pickle.at != file.size:
        pickle.fail(f"{file.size - pickle.at} bytes behind its end", "none; they were not run")
    return pickle, root


def open_pickled(file: WeightFile) -> ViewReader:
    """Return the reader of a pickle; the numbers of its arrays are passed over."""
    pickle, root = read_pickle(file)
    return ViewReader(file, name_tensors(pickle, root))


def is_lucid2(file: WeightFile) -> bool:
    """Whether the file is a pickle that begins as Lucid 2's do."""
    return is_pickle(file) and b"format_version" in file.head[:80]


def open_lucid2(file: WeightFile) -> ViewReader:
    """Return the reader of Lucid 2's dictionary; only its content has names."""
    pickle, root = read_pickle(file)
    if not isinstance(root, dict) or set(root) != _LUCID2 or root["format_version"] != 1.1:
        pickle.fail("another dictionary", "Lucid's type, format_version 1.1 and content")
    return ViewReader(file, name_tensors(pickle, root["content"]))


LUCID2 = WeightsFormat("Lucid 2", is_lucid2, open_lucid2)
PICKLED = WeightsFormat("pickle (MegEngine)", is_pickle, open_pickled)
