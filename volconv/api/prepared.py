"""What a spec says beside its stages, carried out: the scan prepared, its mask opened, results finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SpecError, UsageError
from ..formats.base import Sink, Source
from ..formats.finishing import Finishing
from ..formats.in_memory import ArraySink, ArraySource
from ..formats.names import parse_volume_name
from ..formats.open import open_source
from ..formats.prepared import PreparedSource
from ..geometry import Floats3
from ..numeric import compute_dtype, label_dtype
from ..ops.base import Wire
from ..region import Region
from ..spec.model import Spec
from ..spec.paths import resolve_inside
from ..volume import OutputInfo
from .options import Options


def mask_name(spec: Spec, options: Options) -> tuple[str, Path] | None:
    """Return what to open as mask, as `open_source` takes it, and its path as it was named; None without a mask.

    Raises
    ------
    SpecError
        The spec's mask is no file inside its folder, or its name says no format.
    """
    if options.mask is not None:
        return str(options.mask), parse_volume_name(options.mask).path
    mask = spec.input.mask
    if mask is None:
        return None
    try:
        named = parse_volume_name(mask.file)
    except UsageError as error:
        raise SpecError(
            error.message, code="spec.path", file=mask.place.file or None, where=str(mask.place) or None
        ) from error
    path = resolve_inside(spec.folder, str(named.path), mask.place)
    shown = named.path if spec.folder is None else spec.folder / named.path
    return (str(path) if named.dataset is None else f"{path}:{named.dataset}"), shown


def prepare(scan: Source, spec: Spec, options: Options, has_place: bool = True) -> tuple[Source, list[Path]]:
    """Return `scan` as the first stage is to get it, and the path of its mask if there is one.

    `scan` itself where the spec asks for nothing. `has_place` is false for arrays: see `PreparedSource`.
    """
    found = mask_name(spec, options)
    preparation = spec.input.preparation
    if found is None and preparation.is_nothing:
        return scan, []
    mask, paths = None, []
    if found is not None:
        axes = None if options.axes is None else options.axes.replace("c", "")
        mask = open_source(found[0], order=spec.input.axes, axes=axes)
        paths.append(found[1])
    try:
        return PreparedSource(scan, preparation, mask, has_place, spec.dtype == "float64"), paths
    except BaseException:
        if mask is not None:
            mask.close()
        raise


def make_finishing(source: Source, wire: Wire) -> Finishing | None:
    """Return what becomes of the result that `wire` describes; None where it is written as it is."""
    if not isinstance(source, PreparedSource):
        return None
    return Finishing(source, wire.shape, wire.voxel_map)


def finish_with(finishing: Finishing | None, sink: Sink, wire: Wire, scratch: Path, held: bool) -> Sink:
    """Return the sink for the result that `wire` describes in front of `sink`, its file's; see `Finishing.sink`."""
    if finishing is None:
        return sink
    return finishing.sink(sink, np.dtype(compute_dtype(wire.dtype)), scratch, held)


def prepare_array(array: NDArray[Any], spec: Spec, spacing: Floats3 | None) -> tuple[ArraySource, Source]:
    """Return an array as the first stage is to get it, and the source that says how it was made.

    Raises
    ------
    UsageError
        The spec wants an orientation, which an array does not have.
    """
    scan = ArraySource(array, spacing, order=spec.input.axes)
    if spec.input.preparation.orientation is not None:
        raise UsageError(
            "the spec's input.orientation needs an affine, which an array does not have; "
            "expected a volume file, or a spec without it"
        )
    source, _ = prepare(scan, spec, Options(), has_place=False)
    if source is scan:
        return scan, scan
    try:
        source.load(None)
        info = source.info
        prepared = np.empty((info.batch, info.channels, *info.shape), compute_dtype(spec.dtype))
        for batch, volume in enumerate(prepared):
            source.read(Region.whole(info.shape), volume, batch)
    except BaseException:
        source.close()
        raise
    return ArraySource(prepared, info.geometry.spacing_mm, order=spec.input.axes), source


def finish_array(source: Source, wire: Wire, result: NDArray[Any]) -> NDArray[Any]:
    """Return `result`, (C, d, h, w) or (N, C, d, h, w) of `wire`, cropped, on the grid it belongs on, masked.

    Labels are of the smallest unsigned type that holds them.
    """
    result = result.astype(label_dtype(wire.labels)) if wire.labels else result
    finishing = make_finishing(source, wire)
    if finishing is None:
        return result
    batch = result if result.ndim == 5 else result[None]
    shape, origin, voxel_map = finishing.place()
    info = OutputInfo(shape, batch.shape[1], result.dtype, origin, voxel_map, batch.shape[0], wire.labels > 0)
    own = ArraySink(info)
    sink = finishing.sink(own, result.dtype, Path(), in_memory=True)
    sink.create()
    for index, volume in enumerate(batch):
        sink.write(Region.whole(volume.shape[1:]), volume, index)
    sink.finish()
    assert own.array is not None
    return own.array
