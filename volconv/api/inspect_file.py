"""Says what a file is and what is in it: a volume, an HDF5 tree, weights or a spec, told by its content."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import FormatError, UsageError, WeightsError
from ..formats.base import Source
from ..formats.hdf5_axes import to_dhw
from ..formats.input_file import InputFile
from ..formats.names import HDF5, VolumeName, parse_volume_name
from ..formats.open import open_source
from ..formats.orientation import orientation_letters
from ..formats.record import parse_record, read_record
from ..spec.load import is_spec_path, load_spec
from ..spec.presets import preset_names
from .provenance import plain
from .statistics_of import gather, merge_all
from .streaming import full_shape, load_in_memory
from .verify import verify_output, without_text

_NIFTI_MAGIC = (b"n+1\0", b"ni1\0")
_NIFTI2_MAGIC = (b"n+2\0", b"ni2\0")
_GZIP = b"\x1f\x8b"
_MOST_CHANNELS = 64
_SPEC_KEY = re.compile(r"""^\s*[{]?\s*["']?volconv["']?\s*:""", re.MULTILINE)


def inspect(name: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """Describe the file `name`.

    Parameters
    ----------
    name : str or Path
        A file, ``scan.h5:/dataset``, or the name of a preset.
    verify : bool
        Read an output of this package again, to the last byte, and hold it against its record.

    Returns
    -------
    dict
        ``kind`` is ``volume`` (header, geometry, statistics), ``hdf5`` (tree), ``weights`` (tensors) or ``spec``
        (stages, parameters). With `verify` also ``verified``. Free text of headers is left out: it may name patients.

    Raises
    ------
    MissingFileError
        There is no such file.
    FormatError, WeightsError, SpecError
        It is damaged, or nothing this package knows; with `verify` also if it does not fit its record.
    """
    text = str(name)
    volume = _volume_name(text)
    path = volume.path if volume else Path(text)
    if text in preset_names() and not path.is_file():
        return _describe_spec(text)
    kind = "volume" if volume and volume.dataset else _tell_kind(path, volume)
    if verify:
        if kind not in ("volume", "hdf5"):
            raise UsageError(f"is {kind}, which carries no record; only volumes can be verified", file=text)
        return {"kind": kind, "path": text} | verify_output(text)
    if kind == "volume":
        return _describe_volume(text, path)
    if kind == "hdf5":
        return _describe_hdf5(text, path)
    return _describe_spec(text) if kind == "spec" else _describe_weights(path)


def _volume_name(text: str) -> VolumeName | None:
    try:
        return parse_volume_name(text)
    except UsageError:
        return None


def _tell_kind(path: Path, volume: VolumeName | None) -> str:
    """Return what the content of `path` is; the name decides only where the content does not."""
    from ..weights.lucid_folder import is_sharded

    if is_sharded(path):
        return "weights"
    file = InputFile(path)
    try:
        head = file.read(0, 600)
    finally:
        file.close()
    if _is_nifti(head):
        return "volume"
    if _is_hdf5(path):
        return "hdf5"
    if volume is not None:
        # A name that promises a volume: its reader says what is wrong with the content.
        return "volume" if volume.format != HDF5 else "hdf5"
    if _is_text(head) and _SPEC_KEY.search(head.decode("utf-8", "replace")):
        return "spec"
    from ..weights.raw_numbers import is_document

    return "spec" if is_spec_path(str(path)) and not is_document(path) else "weights"


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in _NIFTI_MAGIC or head[4:8] in _NIFTI2_MAGIC


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and head[:2] != _GZIP


def _is_hdf5(path: Path) -> bool:
    from ..formats.hdf5_guard import is_hdf5

    return is_hdf5(path)


def _describe_volume(text: str, path: Path) -> dict[str, Any]:
    source = open_source(text, channels=None)
    try:
        load_in_memory([source])
        parts = gather(source)
        out = {"kind": "volume", "path": text, "bytes": path.stat().st_size} | _header(source)
        out["statistics"] = merge_all(parts).to_json()
        if 1 < len(parts) <= _MOST_CHANNELS:
            out["channel_statistics"] = [part.to_json() for part in parts]
        out["warnings"] = list(source.warnings)
    finally:
        source.close()
    return out | _record_of(read_record(text))


def _header(source: Source) -> dict[str, Any]:
    info = source.info
    affine = info.geometry.affine
    affine_xyz = None if affine is None else to_dhw(affine, info.axes)
    out: dict[str, Any] = {
        "shape": list(full_shape(info)),
        "axes": "N C D H W, D = z",
        "dtype": info.dtype.name,
        "slope": info.slope,
        "intercept": info.intercept,
        "spacing_mm": None if info.geometry.spacing_mm is None else list(info.geometry.spacing_mm),
        "orientation": orientation_letters(affine_xyz),
        "affine_xyz": None if affine_xyz is None else affine_xyz.tolist(),
        "chunks": None if info.chunks is None else list(info.chunks),
    }
    if (header := info.meta.get("nifti")) is not None:
        out |= {
            "format": f"NIfTI-{header.version}",
            "dim": list(header.dims),
            "qform_code": header.qform_code,
            "sform_code": header.sform_code,
            "intent_code": header.intent_code,
            "units": header.units,
        }
    elif "hdf5" in info.meta:
        out |= {"format": "HDF5", "dataset": info.meta["hdf5"]["dataset"]}
    return out


def name_codes(document: dict[str, Any]) -> dict[str, Any]:
    """Return what `inspect` returned with the names of a NIfTI header's codes beside them, for people to read."""
    if "intent_code" not in document:
        return document
    from ..formats.nifti_code_names import code_name

    out = dict(document)
    for field in ("qform_code", "sform_code", "intent_code", "units"):
        name = code_name(field, out[field])
        out[field] = f"{out[field]} ({name})" if name else out[field]
    return out


def _record_of(record: dict[str, Any] | None) -> dict[str, Any]:
    return {} if record is None else {"record": without_text(record)}


def _describe_hdf5(text: str, path: Path) -> dict[str, Any]:
    from ..formats.hdf5_listing import list_hdf5
    from ..formats.hdf5_record import read_hdf5_record

    out: dict[str, Any] = {"kind": "hdf5", "path": text, "bytes": path.stat().st_size, "tree": list_hdf5(path)}
    return out | _record_of(parse_record(read_hdf5_record(path) or ""))


def _describe_weights(path: Path) -> dict[str, Any]:
    from ..weights.store import open_weights

    try:
        store = open_weights(path)
    except WeightsError as error:
        # The file may be anything: that it is no weights file either does not make it a bad one.
        raise FormatError(
            f"is no volume, HDF5 file or spec; as weights: {error.message}",
            code=error.code,
            file=str(path),
            where=error.where,
        ) from error
    with store:
        tensors = [{"name": name, "shape": list(shape), "dtype": dtype} for name, shape, dtype in store.describe()]
        return {
            "kind": "weights",
            "path": str(path),
            "bytes": sum(part.stat().st_size for part in store.paths),
            "format": store.format,
            "sha256": store.digest(),
            "tensors": tensors,
        }


def _describe_spec(text: str) -> dict[str, Any]:
    spec = load_spec(text)
    return {
        "kind": "spec",
        "path": spec.source,
        "name": spec.name,
        "description": spec.description,
        "dialect": spec.dialect,
        "dtype": spec.dtype,
        "sha256": spec.digest,
        "input": {"channels": spec.input.channels, "axes": spec.input.axes},
        "parameters": {name: plain(value) for name, value in spec.settings.items()},
        "stages": [{"name": stage.name, "op": stage.op} for stage in spec.stages],
        "outputs": list(spec.outputs),
    }
