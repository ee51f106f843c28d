"""Copies a volume from one file format to another, window by window, stored values untouched where that is possible."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..errors import OutputError, UsageError
from ..formats.atomic import check_output, check_unwritten
from ..formats.base import Sink, Source
from ..formats.names import NIFTI, parse_volume_name
from ..formats.open import open_sink, open_source
from ..formats.record import read_record
from ..formats.rounding import value_notes
from ..formats.run_folder import folder_of
from ..geometry import Floats3
from ..settings import memory_budget
from ..values import nearest
from ..volume import OutputInfo
from .commit import claim, show_together
from .provenance import RECORD_FORMAT, format_record
from .streaming import full_shape, windows

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
_HOLD_SHARE = 4


def convert(
    source: str | Path,
    target: str | Path,
    *,
    axes: str | None = None,
    spacing: Floats3 | None = None,
    dtype: str | None = None,
    channels: str = "4d",
    force: bool = False,
) -> dict[str, Any]:
    """Write the volume `source` as `target`; the formats follow the names.

    Parameters
    ----------
    source, target : str or Path
        ``.nii``, ``.nii.gz``, ``.hdr/.img``, ``.h5``, ``scan.h5:/dataset``.
    axes : str, optional
        Letters of an HDF5 dataset's axes (``zyx``), for files that do not say.
    spacing : tuple of float, optional
        D, H, W in mm (D = z), for files that do not say.
    dtype : str, optional
        Type of the values written. By default the stored type where slope is 1 and intercept 0, else float32 (and
        float32 for the float16 that NIfTI lacks). To integers: half to even, clipped and counted.
    channels : str
        ``4d``, ``vector`` or ``split``: how NIfTI holds several channels.
    force : bool
        Whether an existing target is replaced.

    Returns
    -------
    dict
        ``source target shape dtype clipped warnings seconds``; shape is N, C, D, H, W.

    Raises
    ------
    VolconvError
        With the exit code of its kind; nothing stands under the target's name then.
    """
    started = time.perf_counter()
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"found dtype {dtype!r}, expected one of {', '.join(DTYPES)}{nearest(dtype, DTYPES)}")
    with claim([str(target)], warnings.warn, split=channels == "split"):
        options = {"axes": axes, "spacing": spacing, "dtype": dtype, "channels": channels}
        summary = _convert(source, target, options, force)
    summary["seconds"] = time.perf_counter() - started
    return summary


def _convert(source: str | Path, target: str | Path, options: dict[str, Any], force: bool) -> dict[str, Any]:
    reader = open_source(source, axes=options["axes"], spacing_mm=options["spacing"], channels=None)
    try:
        check_output(parse_volume_name(target).path, [parse_volume_name(source).path], force)
        kind = np.dtype(options["dtype"]) if options["dtype"] else _default_dtype(reader, target)
        info = OutputInfo(
            reader.info.shape,
            reader.info.channels,
            kind,
            reader.info,
            batch=reader.info.batch,
            record=_make_record(source, reader, options),
            labels=reader.info.labels,
        )
        scratch = folder_of(parse_volume_name(target).path)
        sink = open_sink(target, info, scratch=scratch, force=force, channels=options["channels"])
        for path in sink.paths:
            check_unwritten(path)
        _copy(reader, sink, scratch, target)
        return {
            "source": str(source),
            "target": str(target),
            "shape": list(full_shape(reader.info)),
            "dtype": kind.name,
            "clipped": sink.clipped,
            "warnings": [*reader.warnings, *value_notes(str(target), kind, sink.clipped, sink.not_finite)],
        }
    finally:
        reader.close()


def _default_dtype(reader: Source, target: str | Path) -> np.dtype[Any]:
    info = reader.info
    if info.is_scaled or (info.dtype == np.float16 and parse_volume_name(target).format == NIFTI):
        return np.dtype(np.float32)
    return info.dtype


def _make_record(source: str | Path, reader: Source, options: dict[str, Any]) -> str:
    """Return the record: what was converted and how, and the record of what it was made from."""
    given = {
        name: value for name, value in options.items() if value is not None and (name, value) != ("channels", "4d")
    }
    name = parse_volume_name(source)
    record = {
        "format": RECORD_FORMAT,
        "volconv": __version__,
        "command": "convert",
        "inputs": [{"name": name.path.name, "sha256": reader.digest()}],
        "options": json.loads(json.dumps(given)),
    }
    if name.dataset is not None:
        record["options"]["dataset"] = name.dataset
    if (earlier := read_record(source)) is not None:
        record["made_from"] = earlier
    return format_record(record)


def _copy(reader: Source, sink: Sink, scratch: Path, target: str | Path) -> None:
    """Copy all voxels and commit; whatever goes wrong, nothing half-made stays."""
    made = _make_folder(scratch)
    try:
        held = reader.spool_bytes * _HOLD_SHARE <= memory_budget(None)
        reader.load(None if held else scratch)
        sink.create()
        _copy_windows(reader, sink)
        reader.check_unchanged()
        show_together([sink], target)
    except BaseException:
        sink.abort()
        raise
    finally:
        if made:
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                scratch.rmdir()


def _make_folder(scratch: Path) -> bool:
    """Make the scratch folder for its owner alone; return whether it was not there before."""
    try:
        scratch.mkdir(mode=0o700)
    except FileExistsError:
        if not scratch.is_dir():
            raise OutputError("is no folder, but its name is needed for scratch files", file=str(scratch)) from None
        return False
    except OSError as error:
        raise OutputError(f"the scratch folder cannot be made: {error.strerror}", file=str(scratch)) from error
    return True


def _copy_windows(reader: Source, sink: Sink) -> None:
    info = reader.info
    # Stored values go over as they are, and `to_stored` makes any other type of them with one rounding. Scaled ones
    # become float32 straight away if that is wanted, else by way of float64.
    through = info.dtype
    if info.is_scaled:
        through = np.dtype(np.float32 if sink.info.dtype == np.float32 else np.float64)
    for batch, region in windows(info, through.itemsize):
        values = np.empty((info.channels, *region.shape), through)
        reader.read(region, values, batch)
        sink.write(region, values, batch)
