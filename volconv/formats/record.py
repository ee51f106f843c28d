"""Reads back the JSON record an output carries, whatever its format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .names import HDF5, parse_volume_name

_SIGN = "volconv"
"""A key that every record has."""


def read_record(name: str | Path) -> dict[str, Any] | None:
    """Return the record in the volume `name`, or None where it has none.

    Raises
    ------
    MissingFileError, FormatError
        If the file cannot be opened or its header is damaged.
    """
    volume = parse_volume_name(name)
    if volume.format == HDF5:
        from .hdf5_record import read_hdf5_record

        text = read_hdf5_record(volume.path)
        texts = [] if text is None else [text]
    else:
        from .nifti_extension import read_comments

        texts = read_comments(volume.path)
    records = (parse_record(text) for text in texts)
    return next((record for record in records if record is not None), None)


def parse_record(text: str) -> dict[str, Any] | None:
    """Return the record that `text` spells, or None: files carry other comments too, in JSON and naming patients."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _SIGN in record else None
