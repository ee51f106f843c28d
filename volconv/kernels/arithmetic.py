"""Sums, differences, products and quotients of volumes, and what is done to them before they are stored.

An input that is spread over an axis has a step of 0 along it, so one kernel serves every way of broadcasting. Each row
is combined in the first-level cache, input after input in the order given, and finished there by the functions that
`pointwise` uses, so the bits are those of the result and the epilogue apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .activations import make_finish_row
from .add import Input, plus, row_start
from .catalog import Epilogue
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .pointwise import Finish
from .scalar import load, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)
CODES = {"add": 0, "sub": 1, "mul": 2, "div": 3}


def arithmetic_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `BoundArithmetic.run` may call, for `jit.missing` and a child process."""
    return [KernelSpec("arithmetic.combine", dtype, (per_lane,)) for per_lane in (0, 1)]


def bind_arithmetic(kind: str, epilogue: Epilogue, dtype: str) -> BoundArithmetic:
    """Make the operation `kind` (a key of `CODES`) and `epilogue` ready to run on volumes of `dtype`."""
    return BoundArithmetic(kind, epilogue, dtype)


class BoundArithmetic:
    """An operation and its epilogue ready to run; made by `bind_arithmetic`."""

    def __init__(self, kind: str, epilogue: Epilogue, dtype: str) -> None:
        self._code = CODES[kind]
        self._finish = Finish(epilogue, dtype)
        self._dtype = dtype

    def run(
        self,
        x: Array,
        y: Array,
        inputs: Sequence[Input],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        channels: int,
    ) -> None:
        """Compute every voxel (z, y, x) of a box, for every channel c < `channels`.

        ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes the epilogue of ``((v1 ∘ v2) ∘ v3) ∘ …``, v1 = ``x[start
        + c*xc + z*xz + y*xy + x*xx]`` of the first input and the others likewise from `y`; where the left operand is
        NaN it is the result. The output overlaps no input. Channels beyond the epilogue's tables (padding) give
        anything.

        Parameters
        ----------
        x, y, out : flat arrays of the bound dtype
        inputs : sequence of (start, steps), two at least
            Element of voxel (0, 0, 0) of channel 0, and elements from one channel, z, y, x to the next: 0 where the
            input is the same all along. The first lies in `x`, the others in `y`.
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
        kernel = get_kernel(KernelSpec("arithmetic.combine", self._dtype, (int(walk.axes[4].period > 0),)))
        kernel(
            *(self._code, x, y, np.array(starts, np.int64)),
            np.array((walk.x_steps, *walk.more_steps), np.int64).ravel(),
            *(out, out_start, walk.out_steps, walk.sizes, walk.channel_steps, walk.segment, walk.tasks),
            *self._finish.arguments(walk, channels),
        )


@inlined
def subtract(u: Any, v: Any) -> Any:
    """Return u - v, as `plus`."""
    result = u - v
    return result if u == u else u


@inlined
def multiply(u: Any, v: Any) -> Any:
    """Return u * v, as `plus`."""
    result = u * v
    return result if u == u else u


@inlined
def divide(u: Any, v: Any) -> Any:
    """Return u / v, as `plus`."""
    result = u / v
    return result if u == u else u


def _make_combine_row(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return the device function that combines two rows; each way of stepping has a loop that loads whole vectors."""

    @inlined
    def combine_row(a: Any, at: Any, a_step: Any, b: Any, bt: Any, b_step: Any, out: Any, to: Any, count: Any) -> None:
        if a_step == 1 and b_step == 1:
            for i in range(count):
                store(out, to + i, operation(load(a, at + i), load(b, bt + i)))
        elif a_step == 1 and b_step == 0:
            v = load(b, bt)
            for i in range(count):
                store(out, to + i, operation(load(a, at + i), v))
        elif a_step == 0 and b_step == 1:
            u = load(a, at)
            for i in range(count):
                store(out, to + i, operation(u, load(b, bt + i)))
        else:
            for i in range(count):
                store(out, to + i, operation(load(a, at + i * a_step), load(b, bt + i * b_step)))

    return combine_row


_add_row, _subtract_row, _multiply_row, _divide_row = map(_make_combine_row, (plus, subtract, multiply, divide))


@inlined
def combine_rows(
    kind: Any, a: Any, at: Any, a_step: Any, b: Any, bt: Any, b_step: Any, out: Any, to: Any, n: Any
) -> None:
    """Combine two rows of `n` values by the operation of code `kind`."""
    if kind == 0:
        _add_row(a, at, a_step, b, bt, b_step, out, to, n)
    elif kind == 1:
        _subtract_row(a, at, a_step, b, bt, b_step, out, to, n)
    elif kind == 2:
        _multiply_row(a, at, a_step, b, bt, b_step, out, to, n)
    else:
        _divide_row(a, at, a_step, b, bt, b_step, out, to, n)


@register("arithmetic.combine", parallel=True)
def make_combine(real: Any, per_lane: int) -> tuple[Any, Any]:
    """Make the kernel whose rows run over voxels of one channel (0), or over channels, round by round (1)."""
    finish_row = make_finish_row(real, bool(per_lane))

    def combine(
        kind: Any,
        x: Any,
        y: Any,
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
                combine_rows(kind, x, a, steps[4], y, b, steps[9], out, target, count)
                for k in range(2, len(starts)):
                    b = row_start(starts, steps, k, place, first)
                    combine_rows(kind, out, target, 1, y, b, steps[5 * k + 4], out, target, count)
                channel = offset_of(place, channel_steps)
                finish_row(code, affine, out, target, count, (scale, shift, slope), channel, p, q)
                place = next_place(place, sizes, segments)

    read, written, ints = flat(real), flat(real, writable=True), flat(int64)
    choice = (types.boolean, read, read, read, real, real)
    places = (read, read, ints, ints, written, int64)
    return combine, void(int64, *places, _FIVE, _FIVE, _FIVE, int64, int64, int64, *choice)
