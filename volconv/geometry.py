"""Where voxels lie in the world: the only place output affines come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]
Floats3 = tuple[float, float, float]


@dataclass(frozen=True)
class VoxelMap:
    """Per-axis map from an output's voxel index to its input's: ``input = scale * output + offset`` (D, H, W)."""

    scale: Floats3 = (1.0, 1.0, 1.0)
    offset: Floats3 = (0.0, 0.0, 0.0)

    @property
    def is_identity(self) -> bool:
        """Whether output and input voxels coincide."""
        return self.scale == (1.0, 1.0, 1.0) and self.offset == (0.0, 0.0, 0.0)

    def after(self, earlier: VoxelMap) -> VoxelMap:
        """Return the map to the input of `earlier`, whose output is the input of this one."""
        scale = tuple(a * b for a, b in zip(self.scale, earlier.scale, strict=True))
        offset = tuple(b * o + p for b, o, p in zip(earlier.scale, self.offset, earlier.offset, strict=True))
        return VoxelMap(scale, offset)  # type: ignore[arg-type]

    def matrix(self) -> NDArray[np.float64]:
        """Return the map as a 4×4 matrix over homogeneous (d, h, w) indices."""
        out = np.diag([*self.scale, 1.0])
        out[:3, 3] = self.offset
        return out


IDENTITY = VoxelMap()
"""The map of a grid to itself."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A grid in space.

    Attributes
    ----------
    affine : (4, 4) float64 array or None
        Maps homogeneous (d, h, w) indices to millimetres, RAS+. None where the file does not say.
    shape : tuple of int
        D, H, W.
    """

    affine: NDArray[np.float64] | None
    shape: Triple

    @property
    def spacing_mm(self) -> Floats3 | None:
        """Distance between neighbouring voxels along D, H, W; None where unknown."""
        if self.affine is None:
            return None
        norms = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(norms[0]), float(norms[1]), float(norms[2]))

    def moved(self, voxel_map: VoxelMap, shape: Triple) -> Geometry:
        """Return the grid of `shape` whose voxels sit where `voxel_map` says on this one."""
        if self.affine is None:
            return Geometry(None, shape)
        affine = self.affine.copy()
        for axis in range(3):  # written out: a matrix product may round differently on another processor
            affine[:3, 3] += self.affine[:3, axis] * voxel_map.offset[axis]
            affine[:3, axis] = self.affine[:3, axis] * voxel_map.scale[axis]
        return Geometry(affine, shape)

    def distance_mm(self, other: Geometry) -> float:
        """Return how far apart the farthest-off pair of corresponding corners lies; inf where one side is unknown."""
        if self.affine is None or other.affine is None:
            return 0.0 if self.affine is other.affine else float("inf")
        ends = np.array([[a, b, c, 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float)
        ends[:, :3] *= np.array(self.shape) - 1
        apart = (self.affine - other.affine) @ ends.T
        return float(np.sqrt((apart[:3] ** 2).sum(axis=0)).max())
