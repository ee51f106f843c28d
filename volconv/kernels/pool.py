"""Pooling: the largest value, or the mean, of the window of each output, channel by channel, in either layout.

Taps outside the volume are never read. Those inside are taken in rising order of d, h, w, so every layout, vector width
and box gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .blocks import Block
from .catalog import vector_bits
from .conv_finish import rename
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .pool_blocks import load_steps, put, spread, take_largest, take_sum
from .scalar import load, store
from .simd import advance, pointer

Array = np.ndarray[Any, Any]
_TASKS = 64  # enough for threads to even out
_STEPS = (1, 2)  # elements between the inputs of neighbours for which whole vectors are loaded


class Axis(NamedTuple):
    """One axis of a pooling over a box: all in voxels of the input.

    Attributes
    ----------
    first : int
        Where the first tap of the box's first output lies.
    taps, stride, dilation : int
    length : int
        Of the volume: places from 0 to before it are there.
    low, high : int
        Places from `low` to before `high` count for the mean's divisor.
    """

    first: int
    taps: int
    stride: int
    dilation: int
    length: int
    low: int
    high: int


def pool_specs(dtype: str, mean: bool, steps: Sequence[int] = (1, 2, 0)) -> list[KernelSpec]:
    """Return the kernels `run_pool` may call for windows `steps` elements apart along w."""
    lanes = vector_bits() // (8 * np.dtype(dtype).itemsize)
    first = [KernelSpec("pool.first", dtype, (int(mean), lanes, step)) for step in dict.fromkeys(steps)]
    return [*first, KernelSpec("pool.last", dtype, (int(mean), lanes))]


def vector_step(elements: int) -> int:
    """Return the step for which there is a kernel: 1, 2, or 0 for any."""
    return elements if elements in _STEPS else 0


def run_pool(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    axes: Sequence[Axis],
    mean: bool,
    divisor: int = 0,
) -> None:
    """Compute every output (z, y, x) of a box, for every channel c < `channels`.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64; they must not overlap
    x_start : int
        Element of voxel (0, 0, 0) of channel 0 of the volume, which need not be in `x`.
    out_start : int
        Element of the box's first output.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next. Outputs along x, or else the channels of both, lie side by side.
    box : 3 ints
        Outputs along z, y, x.
    channels : int
    axes : 3 `Axis`
        Along z, y, x.
    mean : bool
        The mean of the window, or its largest value: NaN if one is, -inf of none.
    divisor : int
        Of the mean; 0: as many taps as count.
    """
    if min(*box, channels) <= 0:
        return
    dtype = out.dtype.name
    lanes = vector_bits() // (8 * out.itemsize)
    places = (
        x,
        x_start,
        tuple(x_steps),
        out,
        out_start,
        tuple(out_steps),
        (channels, *box),
        *map(tuple, axes),
        divisor,
    )
    if x_steps[0] == out_steps[0] == 1 != out_steps[3]:
        get_kernel(KernelSpec("pool.last", dtype, (int(mean), lanes)))(*places)
        return
    if out_steps[3] != 1 and box[2] > 1:
        raise ValueError(f"outputs along x {out_steps[3]} elements apart, expected 1, or channels side by side")
    step = vector_step(x_steps[3] * axes[2].stride)
    get_kernel(KernelSpec("pool.first", dtype, (int(mean), lanes, step)))(*places)


@inlined
def taps_between(place: Any, dilation: Any, taps: Any, low: Any, high: Any) -> Any:
    """Return the first tap of a window at `place` that lies in [low, high), and the one behind the last."""
    first = max(0, -((place - low) // dilation))
    return first, max(first, min(taps, -((place - high) // dilation)))


@inlined
def count_taps(axis: Any, output: Any) -> Any:
    """Return how many taps of an output's window count for the divisor along an axis."""
    first, stop = taps_between(axis[0] + output * axis[2], axis[3], axis[1], axis[5], axis[6])
    return stop - first


@inlined
def whole_windows(axis: Any, low: Any, high: Any, width: Any) -> Any:
    """Return the first output of `width` of which all taps along an axis lie in [low, high), and that behind the last.

    Both are 0 where there is none.
    """
    first, taps, stride, dilation = axis[0], axis[1], axis[2], axis[3]
    start = max(0, -((first - low) // stride))
    stop = min(width, (high - 1 - dilation * (taps - 1) - first) // stride + 1)
    return (start, stop) if start < stop else (0, 0)


class _Parts(NamedTuple):
    """What a pooling of one kind is made of: where a result starts, and how a value, or a vector, is taken into it."""

    start: Any
    take: Any
    take_vector: Any


def _make_parts(real: Any, mean: int) -> _Parts:
    def start() -> Any:
        return real(0) if mean else -real(np.inf)

    def take(best: Any, value: Any) -> Any:
        if mean:
            return best + value
        return value if value > best or value != value else best

    kind = "mean" if mean else "largest"
    start, take = (inlined(rename(part, f"{part.__name__}_{kind}")) for part in (start, take))
    return _Parts(start, take, take_sum if mean else take_largest)


def _make_row(real: Any, mean: int, lanes: int, step: int) -> Any:
    """Return a device function that pools a row of `width` outputs, undivided.

    ``pool_row(x, row, z, y, axis, between, out, target, width)``: `row` is the element of the first tap of output 0;
    `z` and `y` hold the elements from tap to tap, the first tap that is there and the one behind the last; `axis` is
    that along x, and `between` the elements from one voxel to the next.
    """
    start, take, take_vector = _make_parts(real, mean)
    kind = Block(real, lanes, 1, 1, step)

    @inlined
    def one_window(x: Any, row: Any, z: Any, y: Any, w: Any) -> Any:
        best = start()
        for tz in range(z[1], z[2]):
            for ty in range(y[1], y[2]):
                line = row + tz * z[0] + ty * y[0]
                for tx in range(w[1], w[2]):
                    best = take(best, load(x, line + tx * w[0]))
        return best

    @inlined
    def many_windows(x: Any, row: Any, apart: Any, z: Any, y: Any, w: Any) -> Any:
        best = spread(kind, start())
        for tz in range(z[1], z[2]):
            for ty in range(y[1], y[2]):
                line = row + tz * z[0] + ty * y[0]
                for tx in range(w[1], w[2]):
                    best = take_vector(best, load_steps(kind, pointer(x, line + tx * w[0]), apart))
        return best

    def pool_row(x: Any, row: Any, z: Any, y: Any, axis: Any, between: Any, out: Any, target: Any, width: Any) -> None:
        first, taps, stride, dilation, length, _, _ = axis
        apart, steps = stride * between, dilation * between
        low, high = whole_windows(axis, 0, length, width)
        vectors = (high - low) // lanes
        if vectors > 0:
            for n in range(vectors + (high - low > vectors * lanes)):
                i = min(low + n * lanes, high - lanes)
                best = many_windows(x, row + i * apart, apart, z, y, (steps, 0, taps))
                put(best, advance(pointer(out, target), i))
        else:
            low, high = 0, 0
        for n in range(width - high + low):
            i = n if n < low else n + high - low
            found = taps_between(first + i * stride, dilation, taps, 0, length)
            store(out, target + i, one_window(x, row + i * apart, z, y, (steps, found[0], found[1])))

    return inlined(rename(pool_row, f"pool_row_{mean}_{lanes}_{step}"))


def _make_divide(real: Any) -> Any:
    """Return a device function that divides a row of sums: ``divide_row(out, target, area, axis, width, divisor)``.

    `area` is how many taps count along the other axes.
    """

    @inlined
    def divide_row(out: Any, target: Any, area: Any, axis: Any, width: Any, divisor: Any) -> None:
        low, high = whole_windows(axis, axis[5], axis[6], width)
        full = real(divisor if divisor != 0 else area * axis[1])
        for i in range(low, high):
            store(out, target + i, load(out, target + i) / full)
        for n in range(width - high + low):
            i = n if n < low else n + high - low
            count = divisor if divisor != 0 else area * count_taps(axis, i)
            store(out, target + i, load(out, target + i) / real(count))

    return divide_row


@register("pool.first", parallel=True)
def make_first(real: Any, mean: int, lanes: int, step: int) -> tuple[Any, Any]:
    """Make the kernel for outputs side by side along x; rows run in parallel.

    Where all taps along w are there, vectors of outputs stay in registers; the last vector of a row overlaps the one
    before. `step` is as `vector_step` has it.
    """
    pool_row, divide_row = _make_row(real, mean, lanes, step), _make_divide(real)

    def pool_first(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        along_z: Any,
        along_y: Any,
        along_x: Any,
        divisor: Any,
    ) -> None:
        rows = sizes[0] * sizes[1] * sizes[2]
        tasks = min(_TASKS, rows)
        for task in prange(tasks):
            for unit in range(rows * task // tasks, rows * (task + 1) // tasks):
                oy, rest = unit % sizes[2], unit // sizes[2]
                oz, c = rest % sizes[1], rest // sizes[1]
                z_at, y_at = along_z[0] + oz * along_z[2], along_y[0] + oy * along_y[2]
                z0, z1 = taps_between(z_at, along_z[3], along_z[1], 0, along_z[4])
                y0, y1 = taps_between(y_at, along_y[3], along_y[1], 0, along_y[4])
                z, y = (along_z[3] * x_steps[1], z0, z1), (along_y[3] * x_steps[2], y0, y1)
                row = x_start + c * x_steps[0] + z_at * x_steps[1] + y_at * x_steps[2] + along_x[0] * x_steps[3]
                target = out_start + c * out_steps[0] + oz * out_steps[1] + oy * out_steps[2]
                pool_row(x, row, z, y, along_x, x_steps[3], out, target, sizes[3])
                if mean:
                    area = count_taps(along_z, oz) * count_taps(along_y, oy)
                    divide_row(out, target, area, along_x, sizes[3], divisor)

    return pool_first, _signature(real)


def _make_voxel(real: Any, mean: int, lanes: int) -> Any:
    """Return a device function that pools one voxel's channels, side by side, undivided.

    ``pool_voxel(x, row, z, y, w, out, target, channels)``: `row` is the element of the window's first tap; `z`, `y` and
    `w` hold the elements from tap to tap, the first tap that is there and the one behind the last.
    """
    start, take, take_vector = _make_parts(real, mean)
    kind = Block(real, lanes, 1, 1)

    def pool_voxel(x: Any, row: Any, z: Any, y: Any, w: Any, out: Any, target: Any, channels: Any) -> None:
        whole = channels // lanes * lanes
        for c in range(0, whole, lanes):
            best = spread(kind, start())
            for tz in range(z[1], z[2]):
                for ty in range(y[1], y[2]):
                    line = row + c + tz * z[0] + ty * y[0]
                    for tx in range(w[1], w[2]):
                        best = take_vector(best, load_steps(kind, pointer(x, line + tx * w[0]), 1))
            put(best, pointer(out, target + c))
        for c in range(whole, channels):
            value = start()
            for tz in range(z[1], z[2]):
                for ty in range(y[1], y[2]):
                    line = row + c + tz * z[0] + ty * y[0]
                    for tx in range(w[1], w[2]):
                        value = take(value, load(x, line + tx * w[0]))
            store(out, target + c, value)

    return inlined(rename(pool_voxel, f"pool_voxel_{mean}_{lanes}"))


@register("pool.last", parallel=True)
def make_last(real: Any, mean: int, lanes: int) -> tuple[Any, Any]:
    """Make the kernel for channels side by side in both arrays; rows of voxels run in parallel."""
    pool_voxel = _make_voxel(real, mean, lanes)

    def pool_last(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        along_z: Any,
        along_y: Any,
        along_x: Any,
        divisor: Any,
    ) -> None:
        rows = sizes[1] * sizes[2]
        tasks = min(_TASKS, rows)
        for task in prange(tasks):
            for unit in range(rows * task // tasks, rows * (task + 1) // tasks):
                oz, oy = unit // sizes[2], unit % sizes[2]
                z_at, y_at = along_z[0] + oz * along_z[2], along_y[0] + oy * along_y[2]
                z0, z1 = taps_between(z_at, along_z[3], along_z[1], 0, along_z[4])
                y0, y1 = taps_between(y_at, along_y[3], along_y[1], 0, along_y[4])
                z, y = (along_z[3] * x_steps[1], z0, z1), (along_y[3] * x_steps[2], y0, y1)
                area = count_taps(along_z, oz) * count_taps(along_y, oy)
                line = x_start + z_at * x_steps[1] + y_at * x_steps[2]
                for ox in range(sizes[3]):
                    x_at = along_x[0] + ox * along_x[2]
                    x0, x1 = taps_between(x_at, along_x[3], along_x[1], 0, along_x[4])
                    target = out_start + oz * out_steps[1] + oy * out_steps[2] + ox * out_steps[3]
                    w = (along_x[3] * x_steps[3], x0, x1)
                    pool_voxel(x, line + x_at * x_steps[3], z, y, w, out, target, sizes[0])
                    if mean:
                        count = real(divisor if divisor != 0 else area * count_taps(along_x, ox))
                        for c in range(sizes[0]):
                            store(out, target + c, load(out, target + c) / count)

    return pool_last, _signature(real)


def _signature(real: Any) -> Any:
    four, seven = (types.UniTuple(int64, n) for n in (4, 7))
    return void(flat(real), int64, four, flat(real, writable=True), int64, four, four, seven, seven, seven, int64)
