"""The contract of a stage on a whole label map, and what its implementations share.

Each changes a map (D, H, W) of unsigned integers in place, and says beforehand how many bytes a voxel it works in, at
most: the plan counts on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

Labels = NDArray[Any]
_BLOCK = 1 << 20


class Stage(Protocol):
    """What a module of this package offers."""

    def work_bytes(self, itemsize: int) -> int:
        """Return the bytes a voxel that `change` works in beside the map, whose labels have `itemsize`."""

    def change(self, op: Any, labels: Labels) -> None:
        """Carry out `op` on `labels`, a C-contiguous (D, H, W) array, in place."""


def check_library() -> None:
    """Raise `UsageError` where the library that finds components is not installed."""
    if find_spec("cc3d") is None:
        raise UsageError(
            "LargestComponent and FillHoles need the package connected-components-3d: pip install 'volconv[labels]'",
            code="usage.package",
        )


def find_components(same: NDArray[Any], connectivity: int) -> tuple[NDArray[Any], int]:
    """Return the number of each voxel's component, 0 where `same` is 0 or False, and how many components there are."""
    check_library()
    import cc3d  # 40 ms, and it is an extra

    find: Any = cc3d.connected_components  # its stubs want literals
    parts, count = find(same, connectivity=connectivity, return_N=True)
    return parts, int(count)


COMPONENT_BYTES = 34
"""What `find_components` takes, bytes a voxel, its result included: 33 at most, of labels drawn at random (measured);
5 of the label maps of networks."""


def blocks(size: int, at_least: int = 0) -> Iterator[slice]:
    """Yield slices of about a million elements that cover `size`, of `at_least` as many as given."""
    step = max(_BLOCK, at_least)
    return (slice(a, min(a + step, size)) for a in range(0, size, step))


def count_parts(parts: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the voxels of each of `count` components, element 0 those of none."""
    flat, out = parts.reshape(-1), np.zeros(count + 1, np.int64)
    for block in blocks(flat.size, count):  # blocks as long as the result, so that adding it costs no more than they do
        out += np.bincount(flat[block], minlength=count + 1)
    return out
