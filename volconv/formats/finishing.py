"""Where results of prepared scans go: cropped, brought back to the scan's grid, 0 outside the mask.

stage --crop--> --store, resample, turn back--> --mask--> file
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import IDENTITY, Geometry, Triple, VoxelMap
from ..volume import OutputInfo, VolumeInfo
from .base import Sink, Source
from .masked import MaskedSink
from .padded import CroppedSink, cropped_shape
from .prepared import PreparedSource
from .reoriented import ReorientedSink, ReorientedSource
from .resampled import ResampledSource
from .returned import ReturnedSink
from .spline import Taps, copy_taps, make_taps
from .stored import StoredVolume


@dataclass(frozen=True)
class Finishing:
    """What becomes of one stage's result.

    Parameters
    ----------
    source : PreparedSource
    shape : tuple of int
        Of the stage's result.
    voxel_map : VoxelMap
        From the result's voxels to those of `source`.
    """

    source: PreparedSource
    shape: Triple
    voxel_map: VoxelMap

    @property
    def kept(self) -> Triple:
        """Shape of the result less what follows from padding."""
        if self.source.preparation.pad_multiple == 1:
            return self.shape
        return cropped_shape(self.shape, self.voxel_map, self.source.bounds)

    @property
    def returns(self) -> bool:
        """Whether it goes to the scan's own grid."""
        return self.source.preparation.returns

    @property
    def resamples(self) -> bool:
        """Whether voxels on the scan's grid lie between those of the result."""
        return self.returns and not (self._to_oriented.is_identity and self.kept == self.source.origin.shape)

    @property
    def _to_oriented(self) -> VoxelMap:
        return self.voxel_map.after(self.source.voxel_map)

    def place(self) -> tuple[Triple, VolumeInfo, VoxelMap]:
        """Return shape, origin and voxel map of the output: see `OutputInfo`."""
        if self.returns:
            scan = self.source.scan.info
            return scan.shape, scan, IDENTITY
        return self.kept, self.source.origin, self._to_oriented

    def sink(self, inner: Sink, dtype: np.dtype[Any], scratch: Path, in_memory: bool) -> Sink:
        """Return the sink for the stage's result, in front of `inner`, the output's own.

        Parameters
        ----------
        inner : Sink
            Its info is that of `place`.
        dtype : numpy dtype
            Of the values that will be written.
        scratch : Path
        in_memory : bool
            Whether a result that is resampled waits in memory, else in `scratch`.
        """
        mask = self._mask()
        out: Sink = inner if mask is None else MaskedSink(inner, mask)
        if self.resamples:
            kept = Geometry(None, self.kept)
            info = VolumeInfo(self.kept, inner.info.channels, dtype, kept, axes=self.source.origin.axes)
            store = StoredVolume(info, None if in_memory else scratch, str(inner.path or "a result"))
            order = 0 if inner.info.labels else self.source.preparation.order
            out = ReturnedSink(out, store, lambda source: self._bring_back(source, order))
        elif self.returns and not self.source.turn.is_identity:
            out = ReorientedSink(out, self.source.turn)
        return out if self.kept == self.shape else CroppedSink(out, self.kept)

    def _mask(self) -> Source | None:
        """Return the mask on the output's grid."""
        if self.returns or self.source.mask is None:
            return self.source.mask
        mask = self.source.mask_oriented()
        assert mask is not None
        if self._to_oriented.is_identity and self.kept == self.source.origin.shape:
            return mask
        taps = []
        for n, axis, scale, offset in zip(
            self.kept, self.source.maps, self.voxel_map.scale, self.voxel_map.offset, strict=True
        ):
            places = np.arange(n, dtype=np.float64) * scale + offset
            taps.append(make_taps(axis.to_old(places), axis.old, 0))
        return ResampledSource(mask, taps, Geometry(None, self.kept))

    def _bring_back(self, result: Source, order: int) -> Source:
        """Return `result`, as the stage made it, on the scan's own grid."""
        origin, taps = self.source.origin, []
        for n, axis, scale, offset in zip(
            self.kept, self.source.maps, self.voxel_map.scale, self.voxel_map.offset, strict=True
        ):
            taps.append(_taps_back(n, axis.to_new(np.arange(axis.old, dtype=np.float64)), scale, offset, order))
        back = ResampledSource(result, taps, Geometry(None, origin.shape))
        return back if self.source.turn.is_identity else ReorientedSource(back, self.source.turn.inverse())

    def describe(self, in_memory: bool) -> list[str]:
        """Return a line for each step, as a plan shows them."""
        lines = []
        if self.kept != self.shape:
            lines.append(f"cropped to {'x'.join(map(str, self.kept))}")
        if self.returns:
            lines.append("brought back to the scan's grid " + "x".join(map(str, self.source.scan.info.shape)))
            if self.resamples:
                where = "memory" if in_memory else "scratch"
                lines[-1] += f", order {self.source.preparation.order} (labels: nearest), by way of {where}"
        if self.source.mask is not None:
            lines.append("0 outside the mask")
        return lines


def _taps_back(length: int, places: Any, scale: float, offset: float, order: int) -> Taps:
    """Return the taps of voxels at `places` on the working grid, from a result of `length` voxels."""
    if (scale, offset) == (1.0, 0.0) and length == len(places) and np.array_equal(places, np.arange(length)):
        return copy_taps(length)
    return make_taps((places - offset) / scale, length, order)


def make_output_info(finishing: Finishing | None, info: OutputInfo) -> OutputInfo:
    """Return `info`, of a stage's result, as what the output's file is to hold."""
    if finishing is None:
        return info
    shape, origin, voxel_map = finishing.place()
    return replace(info, shape=shape, origin=origin, voxel_map=voxel_map)
