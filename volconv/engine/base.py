"""What the run asks of an engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
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

    def phase(self, number: int) -> AbstractContextManager[Engine]:
        """Make phase `number` of the plan ready (0: the plan itself, if it has no phases); gives what runs its tiles.

        For each volume all phases are entered in their order, and their tiles run.
        """

    def window(self, tile: Tile, slot: int) -> tuple[Region, NDArray[Any]]:
        """Return what `tile` needs of the input, and the array (C, d, h, w) it belongs in for ``run_tile(slot=slot)``.

        Only for a plan with `slots`. It may be filled while another tile is computed in the other slot.
        """

    def run_tile(self, tile: Tile, read: Read, write: Write, slot: int = 0) -> None:
        """Compute `tile`: calls `read` for its input and `write` for each output.

        Arrays handed to `write` keep their values until the next tile in the same slot, if the plan has `slots`; else
        until `write` returns.
        """
