"""The sum of several volumes, and what is done to it before it is stored.

Each row is summed in the first-level cache, input after input in the order given, and finished there by the functions
that `pointwise` uses, so the bits are those of the sum and the epilogue apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activations import make_finish_row
from .catalog import Epilogue
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .pointwise import Finish
from .scalar import load, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
Input = tuple[int, Sequence[int]]
_FIVE = types.UniTuple(int64, 5)


def add_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `BoundAdd.run` may call, for `jit.missing` and a child process."""
    return [KernelSpec("add.sum", dtype, (per_lane,)) for per_lane in (0, 1)]


def bind_add(epilogue: Epilogue, dtype: str) -> BoundAdd:
    """Make a sum with `epilogue` ready to run on volumes of `dtype` (``float32`` or ``float64``)."""
    return BoundAdd(epilogue, dtype)


class BoundAdd:
    """A sum and its epilogue ready to run; made by `bind_add`."""

    def __init__(self, epilogue: Epilogue, dtype: str) -> None:
        self._finish = Finish(epilogue, dtype)
        self._dtype = dtype

    def run(
        self,
        x: Array,
        inputs: Sequence[Input],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        channels: int,
    ) -> None:
        """Compute every voxel (z, y, x) of a box, for every channel c < `channels`.

        ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes the epilogue of the sum of ``x[start + c*xc + z*xz + y*xy
        + x*xx]`` over the inputs, each added to the sum of those before it. The output overlaps no input. Channels
        beyond the epilogue's tables (padding) give anything.

        Parameters
        ----------
        x, out : flat arrays of the bound dtype
        inputs : sequence of (start, steps), two at least
            Element of voxel (0, 0, 0) of channel 0, and elements from one channel, z, y, x to the next.
        out_start, out_steps
            The same for the output.
        box : 3 ints
            Voxels along z, y, x.
        channels : int
            Channels to compute.
        """
        if min(*box, channels) <= 0:
            return
        starts, steps = zip(*inputs, strict=True)
        walk = make_walk(steps[0], out_steps, box, channels, by_channel=self._finish.by_channel, more=steps[1:])
        kernel = get_kernel(KernelSpec("add.sum", self._dtype, (int(walk.axes[4].period > 0),)))
        kernel(
            *(x, np.array(starts, np.int64), np.array((walk.x_steps, *walk.more_steps), np.int64).ravel()),
            *(out, out_start, walk.out_steps, walk.sizes, walk.channel_steps, walk.segment, walk.tasks),
            *self._finish.arguments(walk, channels),
        )


@inlined
def plus(u: Any, v: Any) -> Any:
    """Return u + v. Which of two NaN a processor keeps follows the order in machine code, so it is said here."""
    result = u + v
    return result if u == u else u


@inlined
def row_start(starts: Any, steps: Any, k: Any, place: Any, first: Any) -> Any:
    """Return the element of input `k` where the row of `place` begins, `first` along it."""
    five = (steps[5 * k], steps[5 * k + 1], steps[5 * k + 2], steps[5 * k + 3])
    return starts[k] + offset_of(place, five) + first * steps[5 * k + 4]


@register("add.sum", parallel=True)
def make_sum(real: Any, per_lane: int) -> tuple[Any, Any]:
    """Make the kernel whose rows run over voxels of one channel (0), or over channels, round by round (1)."""
    finish_row = make_finish_row(real, bool(per_lane))

    def sum_inputs(
        x: Any,
        starts: Any,
        steps: Any,
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
                target = out_start + offset_of(place, out_steps) + first
                a = row_start(starts, steps, 0, place, first)
                b = row_start(starts, steps, 1, place, first)
                a_step, b_step = steps[4], steps[9]
                if a_step == 1 and b_step == 1:  # a loop apart, so that it loads whole vectors
                    for i in range(count):
                        store(out, target + i, plus(load(x, a + i), load(x, b + i)))
                else:
                    for i in range(count):
                        store(out, target + i, plus(load(x, a + i * a_step), load(x, b + i * b_step)))
                for k in range(2, len(starts)):
                    b = row_start(starts, steps, k, place, first)
                    b_step = steps[5 * k + 4]
                    for i in range(count):
                        store(out, target + i, plus(load(out, target + i), load(x, b + i * b_step)))
                channel = offset_of(place, channel_steps)
                finish_row(code, affine, out, target, count, (scale, shift, slope), channel, p, q)
                place = next_place(place, sizes, segments)

    read, written, ints = flat(real), flat(real, writable=True), flat(int64)
    choice = (types.boolean, read, read, read, real, real)
    signature = void(read, ints, ints, written, int64, _FIVE, _FIVE, _FIVE, int64, int64, int64, *choice)
    return sum_inputs, signature
