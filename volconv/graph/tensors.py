"""Finds the weights of each stage: in the weights file, in a file of their own, inline, generated, or initialised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import numpy as np

from ..errors import SpecError, WeightsError
from ..ops.activations import Activation
from ..ops.base import Array, Op, Wire
from ..ops.reader import Dialect, OpReader
from ..spec.model import FileSource, GeneratorSource, InitSource, InlineSource, KeySource, Spec, Stage, TensorSource
from ..spec.paths import resolve_inside
from ..values import Place, Values
from ..weights.generators import make_filters
from ..weights.initial import Distribution, make_initial
from ..weights.inline import make_inline
from ..weights.store import WeightsStore, get_shape, get_tensor, open_weights


@dataclass(frozen=True)
class Found:
    """A tensor that has been found: its shape as stored, and how to read it."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


def _remedy(source: KeySource) -> str:
    return "bias: false" if source.key.endswith(".bias") else "weight:"


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
            return self._in_file(self._top_level(source, stage), source.key, stage)
        if isinstance(source, FileSource):
            store = self._open(resolve_inside(self.spec.folder, source.file, source.place))
            return self._in_file(store, only_key(store) if source.key is None else source.key, stage)
        if isinstance(source, InlineSource):
            return _in_memory(make_inline(source.values, source.place))
        if isinstance(source, GeneratorSource):
            return _in_memory(self._generate(source, stage, reader, wire))
        raise TypeError(f"no tensor from {type(source).__name__}")

    def initialise(self, source: InitSource, op: Op, name: str, shape: tuple[int, ...]) -> Array:
        """Return random numbers from the dialect's distribution; `name` (``STAGE.weight``) chooses the stream."""
        return initial_tensor(self.dialect, op, shape, source.seed, name)

    @property
    def files(self) -> list[Path]:
        """Every weights file read, in order of first use."""
        return list(dict.fromkeys(path for path, _ in self.stores))

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
        prefix, layout = (named.prefix, named.layout) if named else ("", "torch")
        if layout != "torch" and named:
            raise SpecError(
                f"found weights layout {layout!r}, expected torch, the one this version reads",
                file=named.place.file or None, where=str(named.place) or None,
            )  # fmt: skip
        if self.weights is not None:
            return self._open(self.weights, prefix)
        if named is None:
            place = source.place if source.place.line else stage.place
            raise SpecError(
                f"stage {stage.name!r} ({stage.op}) wants {source.key!r} from a weights file and none is named; "
                f"give weights: at the top, -w FILE, or {_remedy(source)} in the stage",
                file=place.file or None, where=str(place) or None,
            )  # fmt: skip
        return self._open(resolve_inside(self.spec.folder, named.file, named.place), prefix)

    def _in_file(self, store: WeightsStore, key: str, stage: Stage) -> Found:
        used_for = f"stage {stage.name!r} ({stage.op})"
        shape = get_shape(store, key, used_for=used_for)
        self.used.add((store.path, store.prefix + key))
        return Found(shape, lambda: get_tensor(store, key, dtype=self.spec.dtype, used_for=used_for))

    def _open(self, path: Path, prefix: str = "") -> WeightsStore:
        if (path, prefix) not in self.stores:
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


def initial_tensor(dialect: Dialect, op: Op, shape: tuple[int, ...], seed: int, name: str) -> Array:
    """Return random numbers for a tensor of `op` from the dialect's distribution; `name` chooses the stream.

    Slopes of a PReLU are 0.25 in every dialect, as He et al. (2015) start them.
    """
    if isinstance(op, Activation):
        return np.full(shape, 0.25)
    return make_initial(Distribution("uniform", 1.0 / sqrt(max(1, dialect.fan(op)))), shape, seed, name)


def only_key(store: WeightsStore) -> str:
    """Return the key of a store that holds a single tensor, or raise `WeightsError`."""
    keys = list(store)
    if len(keys) != 1:
        some = ", ".join([*keys[:8], *(["…"] if len(keys) > 8 else [])])
        raise WeightsError(f"found {len(keys)} tensors ({some}), expected key: to choose one", file=str(store.path))
    return keys[0]


def check_shape(found: tuple[int, ...], wanted: tuple[int, ...], what: str, place: Place) -> None:
    """Raise `WeightsError` unless a tensor of shape `found` fits `wanted`; a vector may come as (1, O, 1, …)."""
    vector = len(wanted) == 1
    if found == wanted or (vector and len(found) > 3 and found == (1, wanted[0], *[1] * (len(found) - 2))):
        return
    other = f" or {(1, wanted[0], 1, 1, 1)}" if vector else ""
    raise WeightsError(
        f"{what}: found shape {found}, expected {wanted}{other}", file=place.file or None, where=str(place) or None
    )
