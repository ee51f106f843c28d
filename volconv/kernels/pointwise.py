"""Scale and shift, and activations, of every voxel: what a convolution's epilogue does, as a stage of its own.

Each row is copied into the output and finished there while it is in the first-level cache. The bits are those of the
fused epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activations import CODES, make_finish_row, pack_parameters
from .catalog import Epilogue
from .jit import KernelSpec, flat, get_kernel, int64, prange, register, types, void
from .scalar import load, store
from .walk import Walk, find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)


def pointwise_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `BoundPointwise.run` may call, for `jit.missing` and a child process."""
    return [KernelSpec("pointwise.finish", dtype, (per_lane,)) for per_lane in (0, 1)]


def bind_pointwise(epilogue: Epilogue, dtype: str) -> BoundPointwise:
    """Make `epilogue` ready to run on volumes of `dtype` (``float32`` or ``float64``)."""
    return BoundPointwise(epilogue, dtype)


class Finish:
    """An epilogue packed for the kernels that apply it to rows: `pointwise.finish` and `add.sum`.

    Attributes
    ----------
    by_channel : bool
        Whether it differs by channel.
    """

    def __init__(self, epilogue: Epilogue, dtype: str) -> None:
        self._code = CODES[epilogue.activation]
        self._affine = epilogue.scale is not None
        self._p, self._q = pack_parameters(epilogue.activation, epilogue.parameters, dtype)
        given = (epilogue.scale, epilogue.shift, epilogue.slope)
        self.by_channel = any(table is not None for table in given)
        self._tables = [np.zeros(1, dtype) if table is None else np.array(table, dtype) for table in given]

    def arguments(self, walk: Walk, channels: int) -> tuple[Any, ...]:
        """Return a kernel's last arguments for `walk` over `channels` channels, from the activation's code on."""
        length = walk.segment if walk.axes[4].period else channels
        tables = tuple(_repeat(table, channels, length) for table in self._tables)
        return self._code, self._affine, *tables, self._p, self._q


class BoundPointwise:
    """An epilogue ready to run on its own; made by `bind_pointwise`."""

    def __init__(self, epilogue: Epilogue, dtype: str) -> None:
        self._finish = Finish(epilogue, dtype)
        self._dtype = dtype

    def run(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        channels: int,
    ) -> None:
        """Compute every voxel (z, y, x) of a box, for every channel c < `channels`.

        ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes the epilogue of ``x[x_start + c*xc + z*xz + y*xy +
        x*xx]``. Input and output may be one place; otherwise they must not overlap. Channels beyond the epilogue's
        tables (padding) give anything.

        Parameters
        ----------
        x, out : flat arrays of the bound dtype
        x_start, out_start : int
            Element of voxel (0, 0, 0) of channel 0.
        x_steps, out_steps : 4 ints
            Elements from one channel, z, y, x to the next.
        box : 3 ints
            Voxels along z, y, x.
        channels : int
            Channels to compute.
        """
        if min(*box, channels) <= 0:
            return
        walk = make_walk(x_steps, out_steps, box, channels, by_channel=self._finish.by_channel)
        kernel = get_kernel(KernelSpec("pointwise.finish", self._dtype, (int(walk.axes[4].period > 0),)))
        kernel(
            *(x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes, walk.channel_steps),
            *(walk.segment, walk.tasks, *self._finish.arguments(walk, channels)),
        )


def _repeat(table: Array, channels: int, length: int) -> Array:
    """Return `table` with room for `channels`, repeated up to `length`."""
    round_ = np.zeros(channels, table.dtype)
    round_[: min(channels, len(table))] = table[:channels]
    return np.resize(round_, length)


@register("pointwise.finish", parallel=True)
def make_finish(real: Any, per_lane: int) -> tuple[Any, Any]:
    """Make the kernel whose rows run over voxels of one channel (0), or over channels, round by round (1)."""
    finish_row = make_finish_row(real, bool(per_lane))

    def finish(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        channel_steps: Any,
        segment: Any,
        tasks: Any,
        code: Any,
        affine: Any,
        scale: Any,
        shift: Any,
        slope: Any,
        p: Any,
        q: Any,
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        for task in prange(tasks):
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                count = min(segment, sizes[4] - first)
                source = x_start + offset_of(place, x_steps) + first * x_steps[4]
                target = out_start + offset_of(place, out_steps) + first
                for i in range(count):
                    store(out, target + i, load(x, source + i * x_steps[4]))
                channel = offset_of(place, channel_steps)
                finish_row(code, affine, out, target, count, (scale, shift, slope), channel, p, q)
                place = next_place(place, sizes, segments)

    steps = (int64, _FIVE)
    read, written = flat(real), flat(real, writable=True)
    choice = (types.boolean, read, read, read, real, real)
    return finish, void(read, *steps, written, *steps, _FIVE, _FIVE, int64, int64, int64, *choice)
