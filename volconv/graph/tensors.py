"""Finds the weights of each stage: in the weights file, in a file of their own, inline, generated, or initialised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dialects import DEFAULT
from ..errors import BudgetError, SpecError, WeightsError
from ..ops.activations import Activation
from ..ops.base import Array, Op, Wire
from ..ops.batch_norm import BatchNorm
from ..ops.group_norm import GroupNorm
from ..ops.keras_layout import KERAS, as_keras, keras_key
from ..ops.layer_norm import LayerNorm
from ..ops.reader import Dialect, OpReader
from ..ops.registry import find_layouts, get_dialect
from ..settings import usable_memory
from ..spec.model import FileSource, GeneratorSource, InitSource, InlineSource, KeySource, Spec, Stage, TensorSource
from ..spec.paths import resolve_inside
from ..values import Place, Values
from ..weights.generators import make_filters
from ..weights.initial import Distribution, make_initial
from ..weights.inline import make_inline

if TYPE_CHECKING:
    from ..weights.store import WeightsStore

_BYTES_DRAWN = 24
"""Of each random number while it is made: its word, the fraction, the result."""
_UNASKED = 1 << 26
"""Bytes that are taken without a look at the memory there is, which takes a millisecond."""


@dataclass(frozen=True)
class Found:
    """A tensor that has been found: its shape as stored, how to read it, and the layout its file's format has."""

    shape: tuple[int, ...]
    read: Callable[[], Array]
    layout: str = ""


@dataclass(frozen=True)
class OwnKey(KeySource):
    """The key of a stage's tensor, called `tensor` by the operator, where the spec names none."""

    tensor: str = ""


def _remedy(source: KeySource) -> str:
    name = source.key.rpartition(".")[2]
    return {"bias": "bias: false", "weight": "weight:"}.get(name, f"tensors: {{{name}: ...}}")


def _in_memory(tensor: Array) -> Found:
    return Found(tensor.shape, lambda: tensor)


@dataclass
class TensorLoader:
    """Loads what stages ask for and remembers which files were read.

    Parameters
    ----------
    spec : Spec
    dialect : Dialect
    weights : Path, optional
        Replaces the spec's top-level weights file; may lie anywhere.
    """

    spec: Spec
    dialect: Dialect
    weights: Path | None = None
    stores: dict[tuple[Path, str], WeightsStore] = field(default_factory=dict)
    used: set[tuple[Path, str]] = field(default_factory=set)

    def find(self, source: TensorSource, stage: Stage, reader: OpReader, wire: Wire) -> Found:
        """Return the tensor of `source`: of a file, of the spec, or a generated bank of filters.

        Of a file only the header is read here; `Found.read` reads the rest.
        """
        if isinstance(source, KeySource):
            store = self._top_level(source, stage)
            key = source.key
            if isinstance(source, OwnKey) and self.layout_of(source, store.layout) == KERAS:
                key = keras_key(store, stage.name, reader, source.tensor)
            return self._in_file(store, key, stage)
        if isinstance(source, FileSource):
            store = self._open(resolve_inside(self.spec.folder, source.file, source.place))
            return self._in_file(store, only_key(store) if source.key is None else source.key, stage)
        if isinstance(source, InlineSource):
            return _in_memory(make_inline(source.values, source.place))
        if isinstance(source, GeneratorSource):
            return _in_memory(self._generate(source, stage, reader, wire))
        raise TypeError(f"no tensor from {type(source).__name__}")

    def pass_over(self, key: str) -> None:
        """Count `key` as read in every open file that has it: it changes nothing."""
        for (path, prefix), store in self.stores.items():
            if key in store:
                self.used.add((path, prefix + key))

    def reader_of(self, source: TensorSource, reader: OpReader, found: Found) -> OpReader:
        """Return the reader, of the dialect or another, in whose layout the tensor `found` of `source` is."""
        layout = self.layout_of(source, found.layout)
        if layout == KERAS:
            return as_keras(reader)
        return reader if layout == self.dialect.name else get_dialect(layout).readers.get(reader.name, reader)

    def layout_of(self, source: TensorSource, of_format: str) -> str:
        """Return whose layout a tensor has: as the spec says, else as its file's format has it, else the dialect's."""
        if isinstance(source, GeneratorSource):
            return DEFAULT
        said = self.spec.weights.layout if isinstance(source, KeySource) and self.spec.weights is not None else ""
        return said or of_format or self.dialect.name

    def initialise(self, source: InitSource, op: Op, reader: OpReader, name: str, stage: Stage) -> Array:
        """Return random numbers from the dialect's distribution for tensor `name` of `stage`."""
        needed = prod(reader.stored_shapes(op)[name]) * _BYTES_DRAWN
        if needed > _UNASKED and needed > (at_hand := usable_memory()):
            message = (
                f"stage {stage.name!r} ({stage.op}): making its {name} takes {needed} bytes, {at_hand} are at hand"
            )
            raise BudgetError(message, file=stage.place.file or None, where=str(stage.place) or None)
        return initial_tensor(self.dialect, op, reader, name, source.seed, f"{stage.name}.{name}")

    @property
    def files(self) -> list[Path]:
        """Every weights file read, in order of first use."""
        return list(dict.fromkeys(path for path, _ in self.stores))

    @property
    def files_read(self) -> list[Path]:
        """`files` with all their parts: shards, external data."""
        return list(dict.fromkeys(path for store in self.stores.values() for path in store.paths))

    @property
    def uses_hdf5(self) -> bool:
        """Whether a weights file is HDF5, whose library takes memory of its own."""
        return any(store.format == "HDF5" for store in self.stores.values())

    def close(self) -> None:
        """Close every file."""
        for store in self.stores.values():
            store.close()

    def digests(self) -> list[dict[str, str]]:
        """Return name and SHA-256 of every weights file read, in order of first use."""
        first = {path: store for (path, _), store in reversed(self.stores.items())}
        return [{"name": path.name, "sha256": first[path].digest()} for path in self.files]

    def unused(self) -> dict[Path, list[str]]:
        """Return the names in each file that no stage has read; names outside a given prefix do not count."""
        out: dict[Path, list[str]] = {path: [] for path in self.files}
        for (path, prefix), store in self.stores.items():
            out[path].extend(name for name in store if (path, prefix + name) not in self.used)
        return {path: list(dict.fromkeys(names)) for path, names in out.items()}

    def _top_level(self, source: KeySource, stage: Stage) -> WeightsStore:
        named = self.spec.weights
        prefix = named.prefix if named else ""
        if self.weights is not None:
            return self._open(self.weights, prefix)
        if named is None:
            place = source.place if source.place.line else stage.place
            raise SpecError(
                f"stage {stage.name!r} ({stage.op}) wants {source.key!r} from a weights file and none is named; "
                f"give weights: at the top, -w FILE, or {_remedy(source)} in the stage", code="spec.weights",
                file=place.file or None, where=str(place) or None,
            )  # fmt: skip
        return self._open(resolve_inside(self.spec.folder, named.file, named.place), prefix)

    def _in_file(self, store: WeightsStore, key: str, stage: Stage) -> Found:
        from ..weights.store import get_shape, get_tensor

        used_for = f"stage {stage.name!r} ({stage.op})"
        shape = get_shape(store, key, used_for=used_for)
        self.used.add((store.path, store.prefix + key))
        return Found(shape, lambda: get_tensor(store, key, dtype=self.spec.dtype, used_for=used_for), store.layout)

    def _open(self, path: Path, prefix: str = "") -> WeightsStore:
        if (path, prefix) not in self.stores:
            from ..weights.store import open_weights  # which specs of generated filters need not load

            self.stores[(path, prefix)] = open_weights(path, prefix=prefix, named_in_spec=path != self.weights)
        return self.stores[(path, prefix)]

    def _generate(self, source: GeneratorSource, stage: Stage, reader: OpReader, wire: Wire) -> Array:
        items, places = dict(source.values), dict(source.places)
        if "kernel_size" in stage.values:
            items["kernel_size"] = stage.values["kernel_size"]
            places["kernel_size"] = stage.places.get("kernel_size", stage.place)
        values = Values(items, places, source.place, f"stage {stage.name!r}: generator {source.name}")
        filters = make_filters(source.name, values, wire.spacing_mm, ndim=reader.rank)
        channels = wire.channels
        if reader.in_axis == 0:
            return np.broadcast_to(filters, (channels, *filters.shape)).copy()
        bank = np.broadcast_to(filters[:, None], (channels, filters.shape[0], 1, *filters.shape[1:]))
        return bank.reshape(channels * filters.shape[0], 1, *filters.shape[1:])


def initial_tensor(dialect: Dialect, op: Op, reader: OpReader, name: str, seed: int, stream: str) -> Array:
    """Return random numbers for tensor `name` of `op`, in the dialect's layout and from its distribution.

    Slopes of a PReLU are 0.25 in every dialect, as He et al. (2015) start them; batch and layer normalisation start as
    none: weights and variances 1, biases and means 0.

    Parameters
    ----------
    stream : str
        Tensors of one seed and different streams are independent.
    """
    shape = reader.stored_shapes(op)[name]
    if isinstance(op, Activation):
        return np.full(shape, 0.25)
    if isinstance(op, BatchNorm | GroupNorm | LayerNorm):
        return np.full(shape, 1.0 if name in ("weight", "running_var") else 0.0)
    initial = dialect.initial(op, name, reader.rank)
    return make_initial(Distribution(initial.kind, initial.scale), shape, seed, stream)


def only_key(store: WeightsStore) -> str:
    """Return the key of a store that holds a single tensor, or raise `WeightsError`."""
    keys = list(store)
    if len(keys) != 1:
        some = ", ".join([*keys[:8], *(["…"] if len(keys) > 8 else [])])
        raise WeightsError(
            f"found {len(keys)} tensors ({some}), expected key: to choose one",
            code="weights.ambiguous",
            file=str(store.path),
        )
    return keys[0]


@dataclass(frozen=True)
class Wanted:
    """A tensor that an operator wants.

    Attributes
    ----------
    reader : OpReader
        In whose layout it is stored.
    in_file : bool
        Whether it comes from the top-level weights file, whose layout the spec may name.
    layout : str
        Whose layout that is; empty where it is the dialect's.
    """

    name: str
    op: Op
    reader: OpReader
    in_file: bool = False
    layout: str = ""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes it may have: a vector may also come as (O,), or as (1, O, 1, …), as MegEngine's biases do."""
        shape = tuple(self.reader.stored_shapes(self.op)[self.name])
        if len(self.op.tensor_shapes()[self.name]) > 1:
            return (shape,)
        count = prod(shape)
        return tuple(dict.fromkeys((shape, (count,), (1, count, *[1] * self.reader.rank))))


def check_shape(found: tuple[int, ...], wanted: Wanted, what: str, place: Place) -> None:
    """Raise `WeightsError` unless a tensor of shape `found` is what is `wanted`."""
    if found in wanted.shapes:
        return
    expected = " or ".join(map(str, wanted.shapes))
    raise WeightsError(
        f"{what}: found shape {found}, expected {expected}{_layout_hint(found, wanted)}",
        code="weights.shape",
        file=place.file or None,
        where=str(place) or None,
    )


def _layout_hint(found: tuple[int, ...], wanted: Wanted) -> str:
    if wanted.name != "weight":
        return ""
    if wanted.layout == KERAS:
        return f"; the file has the layout of {KERAS}, unless layout: says otherwise"
    layouts = find_layouts(wanted.reader.name, wanted.op, found)
    if not layouts and wanted.in_file and as_keras(wanted.reader).stored_shapes(wanted.op)["weight"] == found:
        return f"; it has the layout of {KERAS}: weights: {{file: …, layout: {KERAS}}}"
    if not layouts:
        return ""
    said = f"weights: {{file: …, layout: {layouts[0]}}}, or " if wanted.in_file else ""
    return f"; it has the layout of {layouts[0]}: {said}.reshape{wanted.shapes[0]}"
