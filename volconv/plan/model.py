"""What a run will do, worked out before a voxel is read: frozen, printable, the same for the same input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import prod
from typing import Any

from ..geometry import Triple
from ..graph.model import Graph
from ..graph.phases import Phase
from ..graph.trailing import Chain
from ..kernels.catalog import ConvKernel, Layout
from ..ops.base import Interval
from ..region import Region

Edges = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Tile borders along D, H, W, from 0 to the length of the axis."""


@dataclass(frozen=True)
class Buffer:
    """A piece of the arena that holds one wire's voxels for the tile at hand.

    Attributes
    ----------
    name : str
        Unique.
    wire : str
        The node (or ``input``) whose values it holds.
    layout : {"first", "last"}
        (C, D, H, W) or (D, H, W, C).
    channels : int
        Channels stored, rounded up as the kernel that writes it needs.
    mode : str or None
        What stands for voxels outside the wire's domain.
    source : str or None
        The buffer it is copied from; None where a node or the reader fills it.
    filled : bool
        Whether they are stored, made once the others are there; else who reads them looks up what stands for them.
    """

    name: str
    wire: str
    layout: Layout
    channels: int
    mode: str | None = None
    source: str | None = None
    filled: bool = True


@dataclass(frozen=True)
class Step:
    """One thing the engine does for a tile, in order.

    Attributes
    ----------
    kind : str
        ``read`` (the reader fills `target`, or the store of an earlier phase called `node`), ``node`` (compute `node`
        into `target`), ``copy`` (`sources[0]` to `target`), ``write`` (`sources[0]` goes to the output called `node`)
        or ``keep`` (`sources[0]`, the wire `node`, goes to its store and its statistics).
    """

    kind: str
    target: str
    sources: tuple[str, ...] = ()
    node: str = ""


@dataclass(frozen=True)
class Window:
    """One axis of one buffer for one tile: `box` as stored, reaching outside the domain; `inner` computed or read."""

    box: Interval
    inner: Interval


@dataclass(frozen=True)
class Tile:
    """One tile: its number, its place in the grid, and what it hands on of each result."""

    index: int
    cell: Triple
    writes: Mapping[str, Region]


@dataclass(frozen=True)
class Store:
    """A wire that one phase computes and later ones read, kept whole: in memory, or in the scratch file.

    Attributes
    ----------
    wire : str
    shape : tuple of int
        D, H, W.
    layout : {"first", "last"}
        (C, D, H, W) or (D, H, W, C).
    channels : int
        Channels stored.
    nbytes : int
    born, last : int
        The phase that computes it (for a pool's voxel: at whose end it is made), and the last that reads it.
    offset : int or None
        Where it begins in the scratch file; None in memory.
    """

    wire: str
    shape: Triple
    layout: Layout
    channels: int
    nbytes: int
    born: int
    last: int
    offset: int | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole plan of a run.

    Attributes
    ----------
    graph : Graph
        After its passes, sums fused into convolutions.
    kernels : mapping
        Node name to the kernel of a convolution.
    buffers, steps : tuple
        What the engine allots and does.
    edges : three tuples of int
        Tile borders along D, H, W of the graph's anchor, from 0 to its length.
    windows : three tuples of mappings
        For each axis and each cell along it: buffer name to `Window`.
    offsets : mapping
        Buffer name to its first element in the arena.
    arena_bytes, peak_bytes, scratch_bytes : int
        Memory for tiles; predicted peak of the process; predicted bytes in the scratch folder.
    seconds : float
        Rough estimate.
    batch, threads : int
    slots : mapping
        Buffer name to the elements from its first to its second slot: what is read a tile ahead or written a tile
        behind has two. Empty where tiles are read, computed and written one after the other.
    chains : mapping
        Output name to what is done, after the last tile, to the label map it begins with.
    notes : tuple of str
        What the user should know of the graph.
    before, after : tuple of str
        What happens to the input before the first stage and to outputs after the last, for display.
    phases : tuple of Plan
        Where a stage needs all of its input before its first voxel, the plans of the parts that run one after the
        other; then `graph` is the whole, and buffers, steps, edges, windows and offsets are the last phase's. Empty for
        an ordinary run, which is a phase by itself.
    part : Phase or None
        Of a plan in `phases`: what it leaves to later ones.
    stores : tuple of Store
        Wires that lie between phases.
    done : int or None
        Tiles that the run which is resumed has finished already; None where none is.
    """

    graph: Graph
    kernels: Mapping[str, ConvKernel]
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    edges: Edges
    windows: tuple[tuple[Mapping[str, Window], ...], ...]
    offsets: Mapping[str, int]
    arena_bytes: int
    peak_bytes: int
    scratch_bytes: int
    seconds: float
    macs: int
    batch: int = 1
    threads: int = 1
    description: str = ""
    slots: Mapping[str, int] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    phases: tuple[Plan, ...] = ()
    part: Phase | None = None
    stores: tuple[Store, ...] = ()
    done: int | None = None

    @property
    def grid(self) -> Triple:
        """Number of tiles along D, H, W."""
        return (len(self.edges[0]) - 1, len(self.edges[1]) - 1, len(self.edges[2]) - 1)

    @property
    def grids(self) -> tuple[Edges, ...]:
        """The tile borders of every phase, in order; of an ordinary run its own."""
        return tuple(phase.edges for phase in self.phases or (self,))

    @property
    def count(self) -> int:
        """Number of tiles of one volume, of all phases."""
        return sum(phase.count for phase in self.phases) if self.phases else prod(self.grid)

    @property
    def voxels(self) -> int:
        """Number of voxels that the tiles of one volume cover: the anchor's, of all phases."""
        shape = self.graph.wire(self.graph.anchor).shape
        return sum(phase.voxels for phase in self.phases) if self.phases else prod(shape)

    @property
    def tile_shape(self) -> Triple:
        """Shape of the largest tile, in voxels of `Graph.anchor`: the first output, in a phase the largest result."""
        d, h, w = (max(b - a for a, b in pairwise(e)) for e in self.edges)
        return (d, h, w)

    @property
    def tiles(self) -> Iterator[Tile]:
        """The tiles in order, last axis fastest; of a run in phases those of one phase after the other."""
        for phase in self.phases:
            yield from phase.tiles
        if self.phases:
            return
        d, h, w = (range(n) for n in self.grid)
        for index, cell in enumerate(product(d, h, w)):
            yield Tile(index, cell, {name: self._write(name, cell) for name in self.graph.results})

    def _write(self, output: str, cell: Triple) -> Region:
        shape = self.graph.wire(output).shape
        first = self.graph.wire(self.graph.anchor).shape
        pairs = [
            share_interval((self.edges[a][cell[a]], self.edges[a][cell[a] + 1]), first[a], shape[a]) for a in range(3)
        ]
        return Region(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))

    @property
    def stages(self) -> list[dict[str, Any]]:
        """A mapping a stage: name, op, shape, channels, parameters, multiply-adds, halo, kernel."""
        stages: list[dict[str, Any]] = self.to_json()["stages"]
        return stages

    def box(self, buffer: str, cell: Triple) -> Region:
        """Return what `buffer` stores for the tile at `cell`, in voxels of its wire; may reach outside the domain."""
        parts = [self.windows[axis][cell[axis]][buffer].box for axis in range(3)]
        return Region(tuple(p[0] for p in parts), tuple(p[1] for p in parts))

    def inner(self, buffer: str, cell: Triple) -> Region:
        """Return the part of `box` inside the domain that is computed, read or copied; the rest follows from it."""
        parts = [self.windows[axis][cell[axis]][buffer].inner for axis in range(3)]
        return Region(tuple(p[0] for p in parts), tuple(p[1] for p in parts))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as one JSON-able document."""
        from .report import describe_plan

        return describe_plan(self)

    def __str__(self) -> str:
        from .report import format_plan

        return format_plan(self)


def share_interval(interval: Interval, length: int, other: int) -> Interval:
    """Return the share of an axis of `other` voxels that falls to `interval` of one of `length`.

    Shares of neighbouring intervals meet: together they cover the axis once.
    """
    return (interval[0] * other // length, interval[1] * other // length)
