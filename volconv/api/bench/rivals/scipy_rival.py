"""SciPy's Gaussian: three one-axis passes on one thread, the only form it has."""

from __future__ import annotations

import numpy as np
import scipy
from scipy import ndimage

from ....ops.conv3d import Conv3d
from .base import Array, Task


class ScipyRival:
    """`scipy.ndimage.gaussian_filter` with replicated borders, of the size of the graph's one filter."""

    version = scipy.__version__

    def __init__(self, task: Task) -> None:
        (node,) = task.graph.nodes
        assert isinstance(node.op, Conv3d)
        self._radius = node.op.kernel_size[0] // 2
        self._volume = task.volume[0]
        self._is_plain = task.is_plain
        self._y: Array = np.zeros_like(self._volume)

    def run(self) -> None:
        """Smooth once."""
        settings = {"sigma": self._radius / 4, "mode": "nearest", "radius": self._radius}
        if self._is_plain:
            self._y = ndimage.gaussian_filter(self._volume, **settings)
        else:
            ndimage.gaussian_filter(self._volume, output=self._y, **settings)

    def result(self) -> Array:
        """Return what the last `run` gave, as (C, d, h, w)."""
        return self._y[None]
