"""Which way a volume's axes point: the letters, and the flips and swaps that make them point another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..geometry import Geometry, Triple
from ..region import Region
from ..volume import VolumeInfo


def orientation_letters(affine: NDArray[np.float64] | None) -> str | None:
    """Return nibabel's axis codes for an (x, y, z) affine in RAS+ (``RAS``, ``LIA``); None without one."""
    if affine is None:
        return None
    from nibabel.orientations import aff2axcodes

    return "".join(code or "?" for code in aff2axcodes(affine))  # type: ignore[no-untyped-call]


def assumed_letters(info: VolumeInfo) -> str | None:
    """Return the axis codes that a volume is taken to have though its file does not say them; None where it does.

    A NIfTI file with neither form has its spacing alone, and so has HDF5 without an affine: which side is left is then
    a convention of readers (of nibabel, for NIfTI).
    """
    nifti, hdf5 = info.meta.get("nifti"), info.meta.get("hdf5")
    stated = nifti is not None and max(nifti.sform_code, nifti.qform_code) > 0
    if stated or (nifti is None and (hdf5 is None or hdf5["has_affine"])) or info.geometry.affine is None:
        return None
    letters = orientation_letters(info.geometry.affine) or ""
    return letters[::-1] if info.axes == "kji" else letters


@dataclass(frozen=True)
class Turn:
    """Axes swapped and flipped.

    Attributes
    ----------
    axes : tuple of int
        For each new axis (D, H, W) the old one it is.
    flips : tuple of bool
        Whether the new axis runs the other way.
    """

    axes: Triple = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self == Turn()

    def __str__(self) -> str:
        moved = [f"{old} becomes {new}" for new, old in zip("DHW", self._letters, strict=True) if new != old]
        flipped = [f"{new} flipped" for new, flip in zip("DHW", self.flips, strict=True) if flip]
        return ", ".join(moved + flipped) or "as it is"

    @property
    def _letters(self) -> str:
        return "".join("DHW"[axis] for axis in self.axes)

    def shape(self, old: Triple) -> Triple:
        """Return the shape of what has the shape `old` before."""
        d, h, w = (old[axis] for axis in self.axes)
        return (d, h, w)

    def region(self, new: Region, old_shape: Triple) -> Region:
        """Return where `new` lies before."""
        start, stop = [0, 0, 0], [0, 0, 0]
        for axis, flip, a, b in zip(self.axes, self.flips, new.start, new.stop, strict=True):
            n = old_shape[axis]
            start[axis], stop[axis] = (n - b, n - a) if flip else (a, b)
        return Region(tuple(start), tuple(stop))

    def array(self, new: NDArray[Any]) -> NDArray[Any]:
        """Return a view of `new` (C, d, h, w) whose axes are those before."""
        flipped = new[:, *(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return flipped.transpose(0, *(1 + self.axes.index(axis) for axis in range(3)))

    def inverse(self) -> Turn:
        """Return the turn back."""
        places = [self.axes.index(axis) for axis in range(3)]
        d, h, w = places
        return Turn((d, h, w), (self.flips[d], self.flips[h], self.flips[w]))

    def matrix(self, old_shape: Triple) -> NDArray[np.float64]:
        """Return the 4×4 matrix from new to old homogeneous (d, h, w) indices."""
        out = np.zeros((4, 4))
        out[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            out[old, new] = -1 if flip else 1
            out[old, 3] = old_shape[old] - 1 if flip else 0
        return out

    def geometry(self, old: Geometry) -> Geometry:
        """Return the grid after the turn: the same voxels at the same places."""
        shape = self.shape(old.shape)
        if old.affine is None:
            return Geometry(None, shape)
        affine = old.affine.copy()
        for new, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            column = old.affine[:, axis]
            affine[:, new] = -column if flip else column
            if flip:
                affine[:3, 3] += column[:3] * (old.shape[axis] - 1)
        return Geometry(affine, shape)


def find_turn(geometry: Geometry, codes: str, axes: str, name: str) -> Turn:
    """Return the turn after which the file's axes i, j, k point along `codes`.

    Parameters
    ----------
    geometry : Geometry
    codes : str
        ``RAS`` and the like, of i, j, k; D, H, W are these or, with `axes` ``kji``, their reverse.
    axes : str
        As in `VolumeInfo`.
    name : str
        Of the volume, for messages.

    Raises
    ------
    FormatError
        The volume does not say where its voxels lie.
    """
    if geometry.affine is None:
        raise FormatError(
            f"does not say which way its axes point, which input.orientation: {codes} needs; expected an affine",
            code="volume.orientation",
            file=name,
        )
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    wanted = codes[::-1] if axes == "kji" else codes
    found: Any = io_orientation(geometry.affine)  # type: ignore[no-untyped-call]
    turned: Any = ornt_transform(found, axcodes2ornt(tuple(wanted)))  # type: ignore[no-untyped-call]
    places = [int(place) for place in turned[:, 0]]
    d, h, w = (places.index(new) for new in range(3))
    return Turn((d, h, w), (turned[d, 1] < 0, turned[h, 1] < 0, turned[w, 1] < 0))
