"""Reads an output of this package again, to the last byte, and holds it against its record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..formats.names import HDF5, parse_volume_name
from ..formats.open import open_source
from ..formats.record import read_record
from ..formats.rounding import ROUNDING_NOTE
from ..spec.tree import list_names
from ..values import describe
from .provenance import RECORD_FORMAT
from .sidecar import digest_file, find_digest
from .statistics_of import gather, merge_all
from .streaming import full_shape, load_in_memory

_FIELDS = {"format": int, "volconv": str, "inputs": list, "options": dict}
_DIGEST_LETTERS = 64


def verify_output(name: str) -> dict[str, Any]:
    """Verify the output `name`.

    Parameters
    ----------
    name : str
        A volume file; of an HDF5 file without ``:/dataset`` every dataset is read.

    Returns
    -------
    dict
        ``verified`` (True), ``checked_by``: what vouches for the voxels, ``record``, and ``datasets``: name, shape
        (N, C, D, H, W), dtype and statistics of each.

    Raises
    ------
    FormatError
        There is no record, it makes no sense or does not fit the file, a checksum or the voxels are damaged, or the
        file is not the one whose SHA-256 stands in a sidecar beside it.
    """
    record = read_record(name)
    if record is None:
        raise FormatError(
            "carries no record: it was not written by volconv, or was changed since", code="volume.record", file=name
        )
    check_record(record, name)
    read: list[dict[str, Any]] = []
    paths: dict[Path, str] = {}
    for part in _datasets(name, record):
        described, files = _read_all(part)
        read.append(described)
        paths |= files
    pairs = [(own, _check_digest(path, record)) for path, own in paths.items()]
    checks = list(dict.fromkeys(check for pair in pairs for check in pair if check))
    checks = checks or ["the length alone: plain NIfTI has no checksum, and no sidecar beside it a SHA-256"]
    return {"verified": True, "checked_by": checks, "record": without_text(record), "datasets": read}


def _check_digest(path: Path, record: Mapping[str, Any]) -> str:
    """Hold the file at `path` against a sidecar beside it; return what was compared, nothing without a sidecar."""
    found = find_digest(path, record)
    if found is None:
        return ""
    sidecar, size, digest = found
    if path.stat().st_size != size:
        found_bytes = path.stat().st_size
        raise FormatError(
            f"found {found_bytes} bytes, expected {size} by {sidecar.name}", code="volume.record", file=str(path)
        )
    _, actual = digest_file(path)
    if actual != digest:
        raise FormatError(
            f"changed since it was written: found SHA-256 {actual[:16]}…, expected {digest[:16]}… by {sidecar.name}",
            code="volume.record",
            file=str(path),
        )
    return f"SHA-256 in {sidecar.name}"


def check_record(record: Mapping[str, Any], name: str) -> None:
    """Raise `FormatError` unless `record` has the fields, the version and the digests of one."""

    def fail(message: str) -> None:
        raise FormatError(message, code="volume.record", file=name, where="record")

    for key, kind in _FIELDS.items():
        if not isinstance(record.get(key), kind):
            fail(f"found {key} of type {type(record.get(key)).__name__}, expected {kind.__name__}")
    if record["format"] != RECORD_FORMAT:
        fail(f"found format {describe(record['format'])}, expected {RECORD_FORMAT}; another version wrote it")
    weights = record.get("weights", [])
    if not isinstance(weights, list):
        fail(f"found weights of type {type(weights).__name__}, expected list")
    for entry in [*record["inputs"], *weights]:
        if not isinstance(entry, dict) or len(str(entry.get("sha256", ""))) != _DIGEST_LETTERS:
            fail("an input or weights file has no SHA-256")
    spec = record.get("spec")
    if record.get("command") != "convert":
        if not isinstance(spec, dict) or not isinstance(spec.get("text"), str):
            fail("found no spec, expected its text")
        elif hashlib.sha256(spec["text"].encode("utf-8", "surrogatepass")).hexdigest() != spec.get("sha256"):
            fail("the spec's text does not fit its SHA-256")


def _datasets(name: str, record: Mapping[str, Any]) -> list[str]:
    """Return the names of the volumes to be read: all in an HDF5 file, which must be those the record tells of."""
    volume = parse_volume_name(name)
    if volume.format != HDF5 or volume.dataset is not None:
        return [name]
    from ..formats.hdf5_listing import list_hdf5

    found = [entry["name"] for entry in list_hdf5(Path(volume.path)) if entry["type"] == "dataset"]
    outputs = record.get("output")
    wanted = [f"/{stage}" for stage in outputs] if isinstance(outputs, list) else found[:1]
    if sorted(found) != sorted(wanted):
        raise FormatError(
            f"holds {list_names(found) or 'no dataset'}, expected by its record: {list_names(wanted) or 'one'}",
            code="volume.record",
            file=name,
        )
    return [f"{name}:{dataset}" for dataset in found]


def _read_all(name: str) -> tuple[dict[str, Any], dict[Path, str]]:
    """Return what the volume `name` holds, and its files, each with the checksum of its format that fitted."""
    source = open_source(name, channels=None)
    try:
        load_in_memory([source])
        figures = merge_all(gather(source))
        # Statistics are of float64; large integers are in the file as they were written all the same.
        damage = [warning for warning in source.warnings if warning != ROUNDING_NOTE]
        if damage:
            raise FormatError(f"is not as it was written: {'; '.join(damage)}", code="volume.record", file=name)
        checksum = "Fletcher-32 of every chunk" if "hdf5" in source.info.meta else ""
        checksum = "CRC-32 of the gzip stream" if source.spool_bytes else checksum
        described = {
            "name": name,
            "shape": list(full_shape(source.info)),
            "dtype": source.info.dtype.name,
            "statistics": figures.to_json(),
        }
        return described, dict.fromkeys(source.paths, checksum)
    finally:
        source.close()


def without_text(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record less the spec's text, which a report has no room for."""
    out = dict(record)
    if isinstance(out.get("spec"), dict):
        out["spec"] = {key: value for key, value in out["spec"].items() if key != "text"}
    return out
