"""What a run tells whoever watches: facts, no formatting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Compiling:
    """Kernels are compiled, for the cache does not hold them."""

    kernels: int


@dataclass(frozen=True)
class Started:
    """The first tile is about to be read; `voxels` counts the first output's, of all volumes."""

    tiles: int
    voxels: int
    peak_bytes: int


@dataclass(frozen=True)
class TileDone:
    """A tile has been written."""

    index: int
    voxels: int


@dataclass(frozen=True)
class Phase:
    """Something long that is no tile begins: decompressing, compressing, checking."""

    name: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know that is no error."""

    message: str


@dataclass(frozen=True)
class Finished:
    """All outputs stand under their names."""

    outputs: tuple[str, ...]
    seconds: float


Event = Compiling | Started | TileDone | Phase | Warned | Finished
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take an event and do nothing."""
    del event
