"""Finds the weights of each stage: in the weights file, in a file of their own, inline, generated, or initialised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import numpy as np

from ..errors import SpecError, WeightsError
from ..geometry import Floats3
from ..ops.base import Array, Op
from ..ops.reader import Dialect, OpReader
from ..spec.model import FileSource, GeneratorSource, InitSource, InlineSource, KeySource, Spec, Stage, TensorSource
from ..spec.paths import resolve_inside
from ..values import Place, Values
from ..weights.generators import make_filters
from ..weights.initial import make_uniform
from ..weights.inline import make_inline
from ..weights.store import WeightsStore, get_tensor, open_weights


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
    stores: dict[Path, WeightsStore] = field(default_factory=dict)
    used: set[tuple[Path, str]] = field(default_factory=set)

    def load(
        self, source: TensorSource, stage: Stage, reader: OpReader, channels: int, spacing: Floats3 | None
    ) -> Array:
        """Return the tensor of `source` as stored: of a file, of the spec, or a generated bank of filters."""
        if isinstance(source, KeySource):
            return self._tensor(self._top_level(source, stage), source.key, stage)
        if isinstance(source, FileSource):
            store = self._open(resolve_inside(self.spec.folder, source.file, source.place))
            return self._tensor(store, only_key(store) if source.key is None else source.key, stage)
        if isinstance(source, InlineSource):
            return make_inline(source.values, source.place)
        if isinstance(source, GeneratorSource):
            return self._generate(source, stage, reader, channels, spacing)
        raise TypeError(f"no tensor from {type(source).__name__}")

    def initialise(self, source: InitSource, op: Op, name: str, shape: tuple[int, ...]) -> Array:
        """Return random numbers from the dialect's distribution; weight and bias draw from different streams."""
        return make_initial(self.dialect, op, name, shape, source.seed)

    def close(self) -> None:
        """Close every file."""
        for store in self.stores.values():
            store.close()

    def digests(self) -> list[dict[str, str]]:
        """Return name and SHA-256 of every weights file read, in order of first use."""
        return [{"name": path.name, "sha256": store.digest()} for path, store in self.stores.items()]

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
                "give weights: at the top, -w FILE, or weight: in the stage",
                file=place.file or None, where=str(place) or None,
            )  # fmt: skip
        return self._open(resolve_inside(self.spec.folder, named.file, named.place), prefix)

    def unused(self) -> dict[Path, list[str]]:
        """Return the names in each file that no stage has read."""
        return {path: [name for name in store if (path, name) not in self.used] for path, store in self.stores.items()}

    def _tensor(self, store: WeightsStore, key: str, stage: Stage) -> Array:
        self.used.add((store.path, key))
        return get_tensor(store, key, dtype=self.spec.dtype, used_for=f"stage {stage.name!r} ({stage.op})")

    def _open(self, path: Path, prefix: str = "") -> WeightsStore:
        if path not in self.stores:
            self.stores[path] = open_weights(path, prefix=prefix, named_in_spec=path != self.weights)
        return self.stores[path]

    def _generate(
        self, source: GeneratorSource, stage: Stage, reader: OpReader, channels: int, spacing: Floats3 | None
    ) -> Array:
        items, places = dict(source.values), dict(source.places)
        if "kernel_size" in stage.values:
            items["kernel_size"] = stage.values["kernel_size"]
            places["kernel_size"] = stage.places.get("kernel_size", stage.place)
        values = Values(items, places, source.place, f"stage {stage.name!r}: generator {source.name}")
        filters = make_filters(source.name, values, spacing, ndim=reader.rank)
        if reader.in_axis == 0:
            return np.broadcast_to(filters, (channels, *filters.shape)).copy()
        bank = np.broadcast_to(filters[:, None], (channels, filters.shape[0], 1, *filters.shape[1:]))
        return bank.reshape(channels * filters.shape[0], 1, *filters.shape[1:])


def make_initial(dialect: Dialect, op: Op, name: str, shape: tuple[int, ...], seed: int) -> Array:
    """Return random numbers for tensor `name` of `op`: uniform in ±1/sqrt(fan), each tensor from its own stream."""
    return make_uniform(shape, 1.0 / sqrt(max(1, dialect.fan(op))), seed=(seed, 0 if name == "weight" else 1))


def only_key(store: WeightsStore) -> str:
    """Return the key of a store that holds a single tensor, or raise `WeightsError`."""
    keys = list(store)
    if len(keys) != 1:
        some = ", ".join([*keys[:8], *(["…"] if len(keys) > 8 else [])])
        raise WeightsError(f"found {len(keys)} tensors ({some}), expected key: to choose one", file=str(store.path))
    return keys[0]


def fit_shape(
    stored: Array, wanted: tuple[int, ...], what: str, place: Place, shapes: Mapping[str, tuple[int, ...]]
) -> Array:
    """Return `stored` if it has the shape `wanted`; a bias may come as (O,) or (1, O, 1, …)."""
    if stored.shape == wanted:
        return stored
    vector = len(wanted) == 1 and stored.size == wanted[0]
    if vector and stored.ndim >= 4 and stored.shape == (1, wanted[0], *([1] * (stored.ndim - 2))):
        return stored.reshape(wanted)
    both = f" or {(1, wanted[0], 1, 1, 1)}" if "bias" in what and "bias" in shapes else ""
    raise WeightsError(
        f"{what}: found shape {stored.shape}, expected {wanted}{both}",
        file=place.file or None,
        where=str(place) or None,
    )
