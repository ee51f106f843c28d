"""Reads the JSON record from the root of an HDF5 file that this package wrote."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import h5py
import numpy as np

from .hdf5_guard import hdf5_errors, look_into
from .input_file import InputFile

RECORD = "volconv"
"""Root attribute that holds the record."""

_MAX_BYTES = 64 << 20


def read_hdf5_record(path: Path) -> str | None:
    """Return the record's text, or None where the file has none.

    Raises
    ------
    MissingFileError, FormatError
        The file cannot be opened or is damaged.
    """
    with closing(InputFile(path)) as opened, look_into(opened) as file, hdf5_errors(str(path), f"attribute {RECORD!r}"):
        if RECORD not in file.attrs:
            return None
        attribute = h5py.h5a.open(file.id, RECORD.encode())
        is_text = attribute.get_type().get_class() == h5py.h5t.STRING and attribute.shape == ()
        if not is_text or attribute.get_storage_size() > _MAX_BYTES:
            return None
        value = np.asarray(file.attrs[RECORD])[()]
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
