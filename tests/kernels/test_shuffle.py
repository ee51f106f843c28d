"""Channels spread over blocks, by the kernel alone: layouts of the input, parts of a row."""

from __future__ import annotations

import numpy as np
import pytest

from volconv.kernels import naive_resample
from volconv.kernels.shuffle import run_shuffle

from .layouts import FIRST, LAST


@pytest.mark.parametrize("layout", [FIRST, LAST], ids=["first", "last"])
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2), (1, 2, 3), (3, 1, 2)])
def test_any_part_of_a_row(layout, factors):
    places = int(np.prod(factors))
    volume = np.random.default_rng(0).standard_normal((2 * places, 2, 2, 9)).astype("f4")
    whole = naive_resample.pixel_shuffle3d(volume, factors)
    x = layout.lay(volume)
    depth, height, width = whole.shape[1:]
    for start in range(4):
        for count in (1, 2, 3, width - start):
            out = np.zeros(2 * depth * height * count, "f4")
            steps = (depth * height * count, height * count, count, 1)
            run_shuffle(
                x, layout.start, layout.steps(volume.shape), out, 0, steps, (depth, height, count), 2, (0, 0, start),
                factors, (places, 1),
            )  # fmt: skip
            np.testing.assert_array_equal(out.reshape(2, depth, height, count), whole[..., start : start + count])
