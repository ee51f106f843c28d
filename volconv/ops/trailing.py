"""What operators share that need the whole label map at once: they come last, when all tiles have been computed.

Such an operator's class says ``trailing = True``. What reads its result is another one, or one of `FOLLOWING`, which
change single labels: the whole map is held in memory as small integers, and no tile is computed from it.
"""

from __future__ import annotations

from ..errors import ShapeError
from .base import Op, Wire

FOLLOWING = ("remap", "copy")
"""Kernels of other operators that may read the result of a trailing one."""


def is_trailing(op: Op) -> bool:
    """Return whether `op` needs the whole label map at once."""
    return getattr(op, "trailing", False)


def label_wire(inputs: tuple[Wire, ...]) -> Wire:
    """Return the one wire of `inputs`.

    Raises
    ------
    ShapeError
        It is none of labels.
    """
    (wire,) = inputs
    if not wire.labels:
        raise ShapeError("found features, expected labels: the result of ArgMax or Threshold, changed by label stages")
    return wire
