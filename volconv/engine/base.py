"""What the run asks of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from ..plan.model import Plan, Tile
from ..region import Region

Read = Callable[[Region, NDArray[Any]], None]
"""Fill the array (C, d, h, w) with a region (D, H, W) of the input."""
Write = Callable[[str, Region, NDArray[Any]], None]
"""Take the values (C, d, h, w) of a region of an output, by the output's name."""


class Engine(Protocol):
    """Computes tiles of a plan."""

    def prepare(self, plan: Plan) -> None:
        """Allot memory and make kernels ready; called once, before the first tile."""

    def run_tile(self, tile: Tile, read: Read, write: Write) -> None:
        """Compute `tile`: calls `read` for its input and `write` for each output."""
