"""Volumes laid out in flat arrays in any order of axes, with gaps, for tests of kernels that take element steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Layout:
    """`order` lists the axes (0 channels, 1 z, 2 y, 3 x) from the widest step to the narrowest; `gaps` widen them."""

    order: tuple[int, int, int, int]
    gaps: tuple[int, int, int, int] = (0, 0, 0, 0)
    start: int = 0

    def steps(self, shape):
        """Elements from one place to the next along each axis of (C, D, H, W)."""
        steps, step = [0, 0, 0, 0], 1 + self.gaps[3]
        for axis, gap in zip(reversed(self.order), (self.gaps[0], *self.gaps[:2]), strict=False):
            steps[axis] = step
            step *= shape[axis] + gap
        steps[self.order[0]] = step
        return tuple(steps)

    def room(self, shape):
        """Elements the flat array needs."""
        return self.start + sum((n - 1) * s for n, s in zip(shape, self.steps(shape), strict=True)) + 1

    def view(self, flat, shape):
        """The volume inside `flat`, as a (C, D, H, W) view."""
        strides = tuple(s * flat.itemsize for s in self.steps(shape))
        return np.lib.stride_tricks.as_strided(flat[self.start :], shape, strides)

    def lay(self, volume):
        """Return a flat array, of an odd value where nothing lies, that holds `volume`."""
        flat = np.full(self.room(volume.shape) + 8, 77, volume.dtype)
        self.view(flat, volume.shape)[...] = volume
        return flat


FIRST, LAST = Layout((0, 1, 2, 3)), Layout((1, 2, 3, 0))
layouts = st.builds(
    Layout,
    st.permutations(range(4)).map(tuple),
    st.tuples(*[st.sampled_from((0, 0, 0, 1, 3))] * 3, st.sampled_from((0, 0, 0, 1))),
    st.integers(0, 5),
)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(1, 40))


def run_on(kernel, volume, x_layout, out_layout, out_channels=None):
    """Run `kernel` on `volume` and return the volume it writes; nothing else may be written."""
    shape = (volume.shape[0] if out_channels is None else out_channels, *volume.shape[1:])
    x = x_layout.lay(volume)
    x.flags.writeable = False
    out = out_layout.lay(np.full(shape, 55, volume.dtype))
    before = out.copy()
    kernel(
        x, x_layout.start, x_layout.steps(volume.shape), out, out_layout.start, out_layout.steps(shape),
        volume.shape[1:], volume.shape[0],
    )  # fmt: skip
    result = out_layout.view(out, shape).copy()
    out_layout.view(out, shape)[...] = 55
    assert out.tobytes() == before.tobytes(), "written outside the box"
    return result
