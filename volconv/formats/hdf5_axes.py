"""Which axis of an HDF5 dataset is which, and where its voxels lie: attributes in, (C, D, H, W) out.

letters of the file      z y x c          D, H, W for `kji`: z, y, x;  for `ijk`: x, y, z
the affine's columns     x y z 1          whatever the order of the array
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UsageError, show
from ..geometry import Floats3, Triple
from .axes_letters import check_letters, letters_fault

SPATIAL = {"kji": "zyx", "ijk": "xyz"}
"""Letters of D, H, W for each axes order."""

_DEFAULT = {3: "zyx", 4: "czyx"}
_TAGS_BYTES = 65_536


@dataclass(frozen=True)
class FileAxes:
    """How a dataset's dimensions become (batch, C, D, H, W).

    Attributes
    ----------
    letters : str
        One a dimension: ``c z y x`` as themselves, ``t`` for a batch, ``1`` for one of length 1 that is dropped.
    lengths : tuple of int
        The dataset's shape.
    order : str
        ``kji`` or ``ijk``.
    assumed : bool
        Whether they are the default for so many dimensions, since nobody said them.
    """

    letters: str
    lengths: tuple[int, ...]
    order: str
    assumed: bool = False

    def length(self, letter: str) -> int:
        """Return the extent along `letter`, 1 where the file has no such axis."""
        place = self.letters.find(letter)
        return 1 if place < 0 else self.lengths[place]

    @property
    def shape(self) -> Triple:
        """D, H, W."""
        d, h, w = (self.length(letter) for letter in SPATIAL[self.order])
        return (d, h, w)

    def to_inner(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a (C, D, H, W) view of `values`, a part of the dataset of one batch, in file order."""
        inner = "c" + SPATIAL[self.order]
        kept = [place for place, letter in enumerate(self.letters) if letter in inner]
        view = values.reshape([values.shape[place] for place in kept])
        letters = "".join(self.letters[place] for place in kept)
        view = view.transpose([letters.index(letter) for letter in inner if letter in letters])
        return view[tuple(slice(None) if letter in letters else None for letter in inner)]


def make_axes(
    letters: str, lengths: tuple[int, ...], order: str, channels: int | None, assumed: bool = False
) -> FileAxes:
    """Return the axes with `t` settled: a batch, or channels where no `c` holds more than one.

    Parameters
    ----------
    letters : str
        One a dimension, of t c z y x.
    lengths : tuple of int
    order : str
    channels : int or None
        Channels the spec wants: 1 makes t a batch, any other number must be t's length; None takes any length.
    assumed : bool
        As in `FileAxes`.

    Raises
    ------
    FormatError
        With t of another length; the file is for the caller to add.
    """
    settled = letters
    if "t" in letters:
        frames = lengths[letters.index("t")]
        inner = lengths[letters.index("c")] if "c" in letters else 1
        if frames == 1:
            settled = letters.replace("t", "1")
        elif inner == 1 and channels != 1:
            if channels not in (None, frames):
                raise FormatError(
                    f"its axis t has length {frames}, expected {channels} channels, or 1 in the spec",
                    code="volume.channels",
                )
            settled = letters.replace("c", "1").replace("t", "c")
    return FileAxes(settled, lengths, order, assumed)


def read_letters(
    dataset: h5py.Dataset, wanted: str | None, shown: str, where: str, notes: list[str]
) -> tuple[str, bool]:
    """Return the letters of `dataset`'s axes, and whether they are assumed.

    They are the file's own word, else `wanted` (``--axes``), else the default, which is assumed.

    Raises
    ------
    FormatError
        The file's word makes no sense, or there is none and no default for that many dimensions.
    UsageError
        `wanted` makes no sense, or has another number of letters than the dataset has dimensions.
    """
    ndim = len(dataset.shape)
    check_letters(wanted)
    try:
        stated = _stated_letters(dataset, shown, where)
    except FormatError:
        if wanted is None:
            raise
        stated = None
    if stated is not None:
        if wanted is not None and wanted != stated:
            notes.append(f"its own axes {stated!r} were used, not the {wanted!r} asked for")
        return stated, False
    if wanted is not None:
        if len(wanted) != ndim:
            raise UsageError(
                f"axes {wanted!r} name {len(wanted)} dimensions, the dataset has {ndim}: shape {dataset.shape}",
                code="usage.axes",
                file=shown,
                where=where,
            )
        return wanted, False
    if ndim not in _DEFAULT:
        raise FormatError(
            f"has {ndim} dimensions, shape {dataset.shape}, and no attribute 'axes'; say which is which by --axes, "
            "one of the letters t c z y x a dimension",
            code="hdf5.axes",
            file=shown,
            where=where,
        )
    return _DEFAULT[ndim], True


def _stated_letters(dataset: h5py.Dataset, shown: str, where: str) -> str | None:
    """Return what the attribute `axes`, else vigra's `axistags`, says; None without either."""
    for name in ("axes", "axistags"):
        if name not in dataset.attrs:
            continue
        at = f"{where}: attribute {name!r}"
        text = _read_text(dataset, name, shown, at)
        letters = text if name == "axes" else _letters_of_tags(text, shown, at)
        fault = letters_fault(letters)
        if not fault and len(letters) != len(dataset.shape):
            fault = f"{len(letters)} letters for {len(dataset.shape)} dimensions"
        if fault:
            raise FormatError(
                f"says {show(letters)[:40]!r}: {fault}; --axes overrides it", code="hdf5.axes", file=shown, where=at
            )
        return letters
    return None


def is_label_map(dataset: h5py.Dataset, shown: str, where: str) -> bool:
    """Return whether the attribute `intent` says that values are labels; what else it may hold is others' affair."""
    if "intent" not in dataset.attrs:
        return False
    with contextlib.suppress(FormatError):
        return _read_text(dataset, "intent", shown, where) == "label"
    return False


def _read_text(dataset: h5py.Dataset, name: str, shown: str, at: str) -> str:
    """Return a text attribute: a string of any HDF5 kind, or an array of them, joined."""
    kind = h5py.h5a.open(dataset.id, name.encode()).get_type().get_class()
    if kind != h5py.h5t.STRING or h5py.h5a.get_info(dataset.id, name.encode()).data_size > _TAGS_BYTES:
        raise FormatError("is no short text, expected letters such as 'zyx'", code="hdf5.axes", file=shown, where=at)
    parts = np.asarray(dataset.attrs[name]).ravel().tolist()
    return "".join(p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p) for p in parts)


def _letters_of_tags(text: str, shown: str, at: str) -> str:
    """Return the keys of vigra's JSON, ``{"axes": [{"key": "z", ...}, ...]}``, in array order."""
    try:
        tags = json.loads(text)
        return "".join(str(tag["key"]) for tag in tags["axes"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise FormatError(
            "is not vigra's JSON of axes; --axes overrides it", code="hdf5.axes", file=shown, where=at
        ) from error


def read_affine(dataset: h5py.Dataset, shown: str, where: str) -> NDArray[np.float64] | None:
    """Return the attribute `affine`, (x, y, z, 1) to mm RAS+; None without one; `FormatError` if it is none."""
    if "affine" not in dataset.attrs:
        return None
    at = f"{where}: attribute 'affine'"
    stored = h5py.h5a.open(dataset.id, b"affine")
    if stored.shape != (4, 4) or stored.dtype.kind not in "iuf":
        raise FormatError(
            f"has shape {stored.shape} and type {stored.dtype}, expected 4×4 numbers",
            code="hdf5.affine",
            file=shown,
            where=at,
        )
    affine = np.asarray(dataset.attrs["affine"]).astype(np.float64)
    check_affine(affine, shown, at)
    return affine


def check_affine(affine: NDArray[np.float64], shown: str, at: str) -> None:
    """Raise `FormatError` unless `affine` is finite, ends in 0 0 0 1 and keeps three dimensions apart."""
    if not np.isfinite(affine).all():
        raise FormatError("holds NaN or infinity, expected finite numbers", code="hdf5.affine", file=shown, where=at)
    if not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise FormatError(
            f"its last row is {affine[3].tolist()}, expected 0 0 0 1", code="hdf5.affine", file=shown, where=at
        )
    with np.errstate(over="ignore"):
        norms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if not (np.isfinite(norms).all() and norms.min() > 0 and abs(np.linalg.det(affine[:3, :3] / norms)) > 1e-9):
        raise FormatError(
            "is singular: it maps different voxels to one place", code="hdf5.affine", file=shown, where=at
        )


def to_dhw(affine_xyz: NDArray[np.float64], order: str) -> NDArray[np.float64]:
    """Return the affine over (d, h, w) for one over (x, y, z); its own inverse."""
    columns = [SPATIAL[order].index(letter) for letter in "xyz"]
    out = affine_xyz.copy()
    out[:, columns] = affine_xyz[:, :3]
    return out


def affine_from_spacing(spacing_mm: Floats3, order: str) -> NDArray[np.float64]:
    """Return the (d, h, w) affine of voxels of `spacing_mm` (D, H, W), the first at the origin, x to the right."""
    along = dict(zip(SPATIAL[order], spacing_mm, strict=True))
    return to_dhw(np.diag([along["x"], along["y"], along["z"], 1.0]), order)
