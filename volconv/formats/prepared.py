"""A scan as the first stage gets it: orientation, spacing, intensity, padding, one after the other.

scan --turn--> oriented --axis maps--> working grid --intensity--> --padding--> first stage
mask --turn--> oriented --nearest----> working grid (where statistics are taken)
"""

from __future__ import annotations

from pathlib import Path

from ..errors import FormatError
from ..geometry import Triple, VoxelMap
from ..preparation import Preparation
from ..volume import VolumeInfo
from .base import Source
from .forwarding import ForwardingSource
from .intensity import IntensitySource, describe_step
from .masked import check_mask
from .orientation import Turn, assumed_letters, find_turn
from .padded import PaddedSource
from .reoriented import ReorientedSource
from .resampled import AxisMap, AxisMaps, make_axis_maps, make_voxel_map, resample
from .stacked import name_of


class PreparedSource(ForwardingSource):
    """A scan after its preparation.

    Parameters
    ----------
    scan : Source
    preparation : Preparation
    mask : Source, optional
        On the grid of `scan`. Loaded, checked and closed with it.
    has_place : bool
        Whether `scan` knows where its voxels lie; False for arrays, whose spacing alone is known.
    wide : bool
        Whether windows of float64 will be read, which take more memory.

    Attributes
    ----------
    sources : tuple of Source
        Every volume that is read, the mask last.
    turn : Turn
    maps : three AxisMap
        From the oriented grid (old) to the working grid (new).
    origin : VolumeInfo
        The oriented scan: what outputs on the working grid are placed by.
    voxel_map : VoxelMap
        From the working grid to `origin`.
    bounds : tuple of int
        Shape of the working grid, before padding.

    Raises
    ------
    FormatError
        The scan does not say what is needed (axes, spacing), or the mask does not fit it.
    """

    def __init__(
        self,
        scan: Source,
        preparation: Preparation,
        mask: Source | None = None,
        has_place: bool = True,
        wide: bool = False,
    ) -> None:
        self.scan, self.mask, self.preparation = scan, mask, preparation
        self.sources: tuple[Source, ...] = getattr(scan, "sources", (scan,))
        if mask is not None:
            check_mask(scan, mask, has_place)
            self.sources = (*self.sources, mask)
        self.turn = Turn()
        self._notes: list[str] = []
        if preparation.orientation is not None:
            self.turn = find_turn(scan.info.geometry, preparation.orientation, scan.info.axes, name_of(scan))
            if (letters := assumed_letters(scan.info)) is not None:
                self._notes.append(
                    f"the file does not say which way its axes point; orientation {preparation.orientation} takes them "
                    f"for {letters}, so that left and right may be the other way round"
                )
        oriented = self._turned(scan)
        self.origin: VolumeInfo = oriented.info
        self.maps = _make_maps(oriented, preparation)
        self.voxel_map: VoxelMap = make_voxel_map(self.maps)
        self.bounds: Triple = (self.maps[0].new, self.maps[1].new, self.maps[2].new)
        geometry = oriented.info.geometry.moved(self.voxel_map, self.bounds)
        chain = resample(oriented, self.maps, preparation.order, geometry, wide and not preparation.intensity)
        self._intensity: IntensitySource | None = None
        if preparation.intensity:
            inside = None if mask is None else resample(self._turned(mask), self.maps, 0, geometry)
            chain = self._intensity = IntensitySource(chain, preparation.intensity, inside, wide)
        if preparation.pad_multiple > 1:
            chain = PaddedSource(chain, preparation.pad_multiple)
        super().__init__(chain, chain.info)
        self.paths = tuple(path for source in self.sources for path in source.paths)
        self.spool_bytes = sum(source.spool_bytes for source in self.sources)

    def _turned(self, source: Source) -> Source:
        return source if self.turn.is_identity else ReorientedSource(source, self.turn)

    def mask_oriented(self) -> Source | None:
        """Return the mask on the grid of `origin`."""
        return None if self.mask is None else self._turned(self.mask)

    @property
    def warnings(self) -> list[str]:
        """The warnings of the scan, then of the mask."""
        own = [*self._notes, *self.scan.warnings]
        if self.mask is None:
            return own
        return [*own, *(f"{name_of(self.mask)}: {text}" for text in self.mask.warnings)]

    @property
    def passes(self) -> int:
        """How often the scan is read before the first tile, for statistics."""
        return 0 if self._intensity is None else self._intensity.passes

    @property
    def taps(self) -> int:
        """How many products a voxel of the working grid takes; 0 where nothing is resampled."""
        counts = [axis.taps(self.preparation.order).indices.shape[1] for axis in self.maps]
        return 0 if max(counts) == 1 else sum(counts)

    def load(self, scratch: Path | None) -> None:
        """Load mask and scan and gather statistics."""
        if self.mask is not None:
            self.mask.load(scratch)
        self.inner.load(scratch)

    def check_unchanged(self) -> None:
        """Raise `RunError` if a file changed."""
        for source in self.sources:
            source.check_unchanged()

    def close(self) -> None:
        """Close scan and mask."""
        self.scan.close()
        if self.mask is not None:
            self.mask.close()

    def describe(self) -> list[str]:
        """Return a line for each step, as a plan shows them."""
        lines, asked = [], self.preparation
        if asked.orientation is not None:
            lines.append(f"orientation {asked.orientation}: {self.turn}")
        if asked.spacing_mm is not None:
            lines.append(f"spacing {_describe_maps(self.maps)}, order {asked.order}")
        if self.mask is not None:
            lines.append(f"mask {self.mask.path.name if self.mask.path else name_of(self.mask)}")
        if self._intensity is not None:
            steps = ", ".join(describe_step(step) for step in asked.intensity)
            passes = f" ({self.passes} pass{'es' * (self.passes > 1)} for statistics)" if self.passes else ""
            lines.append(f"intensity {steps}{passes}")
        if asked.pad_multiple > 1:
            lines.append(f"padded to {_times(self.info.shape)}, multiples of {asked.pad_multiple}")
        return lines


def _make_maps(source: Source, preparation: Preparation) -> AxisMaps:
    d, h, w = source.info.shape
    if preparation.spacing_mm is None:
        return (AxisMap(d), AxisMap(h), AxisMap(w))
    spacing_mm = source.info.geometry.spacing_mm
    if spacing_mm is None:
        raise FormatError(
            "does not say its spacing, which input.spacing needs; expected an affine, or --spacing D,H,W",
            code="volume.spacing",
            file=name_of(source),
        )
    return make_axis_maps(source.info.shape, spacing_mm, preparation.spacing_mm)


def _describe_maps(maps: AxisMaps) -> str:
    old_mm, new_mm = (
        " x ".join(f"{v:g}" for v in side) for side in zip(*((m.old_mm, m.new_mm) for m in maps), strict=True)
    )
    return f"{old_mm} mm -> {new_mm} mm: {_times([m.old for m in maps])} -> {_times([m.new for m in maps])}"


def _times(shape: list[int] | Triple) -> str:
    return "x".join(map(str, shape))
