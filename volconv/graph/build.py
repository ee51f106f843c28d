"""From spec to graph: wires every stage, makes its operator, finds and checks its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ShapeError, SpecError, WeightsError
from ..numeric import HALVES, compute_dtype, round_to
from ..ops.base import Array, Op, Wire, infer_wire
from ..ops.reader import Context, Dialect, OpReader
from ..ops.registry import get_dialect
from ..spec.model import GeneratorSource, InitSource, InlineSource, KeySource, Spec, Stage, TensorSource
from ..spec.stages import FIXED_KEYS, TENSOR_KEYS
from ..spec.tree import list_names
from ..values import Values, nearest
from .model import INPUT, Graph, Node
from .places import check_inputs
from .tensors import OwnKey, TensorLoader, Wanted, check_shape
from .trailing import check_inputs_in_tiles

_CHANNEL_KEYS = (
    "in_channels", "out_channels", "in_features", "out_features", "num_features", "num_channels", "normalized_shape",
)  # fmt: skip
"""Parameters that say what a stage's shape says too."""


def build_graph(spec: Spec, wire: Wire, loader: TensorLoader, extra_outputs: tuple[str, ...] = ()) -> Graph:
    """Return the graph of `spec` over an input of `wire`.

    Parameters
    ----------
    spec : Spec
    wire : Wire
        Of the input volume; its dtype is the compute type.
    loader : TensorLoader
        Where weights come from.
    extra_outputs : tuple of str
        Stages whose results are wanted beside the spec's outputs.

    Raises
    ------
    SpecError, ShapeError, WeightsError
        Naming the stage, its place in the file, what was found and what was expected.
    """
    dialect = loader.dialect
    if wire.channels != spec.input.channels:
        place = spec.input.place
        raise ShapeError(
            f"found an input of {wire.channels} channels, expected {spec.input.channels} (input.channels)",
            code="volume.channels",
            file=spec.source or None,
            where=str(place) or None,
        )
    for stage in spec.stages:  # a misspelt key may be why the weights of a stage before are not found
        _check_keys(_values_of(stage), _find_reader(stage, dialect))
    nodes: dict[str, Node] = {}
    for stage in spec.stages:
        nodes[stage.name] = _build_node(stage, wire, nodes, dialect, loader)
    outputs = (*spec.outputs, *(name for name in extra_outputs if name not in spec.outputs))
    return Graph(wire, tuple(nodes.values()), outputs)


def make_loader(spec: Spec, weights: Any = None) -> TensorLoader:
    """Return the loader for `spec`, with `weights` (a path or None) in place of its top-level weights file."""
    return TensorLoader(spec, get_dialect(spec.dialect), weights)


def _build_node(stage: Stage, volume: Wire, nodes: Mapping[str, Node], dialect: Dialect, loader: TensorLoader) -> Node:
    reader = _find_reader(stage, dialect)
    wires = tuple(volume if name == INPUT else nodes[name].wire for name in stage.inputs)
    values = _values_of(stage)
    fewest, most = reader.inputs
    if len(wires) < fewest or (most is not None and len(wires) > most):
        key = next((key for key in ("inputs", "input") if key in stage.places), None)
        values.fail(key, _count(len(wires)), _expected_inputs(fewest, most))
    for name in stage.tensors:
        if name not in reader.tensors:
            known = ", ".join(reader.tensors) or "none"
            values.fail(name, f"tensor {name!r}", f"one that {stage.op} wants: {known}{nearest(name, reader.tensors)}")
    try:
        check_inputs(stage.inputs, volume, nodes, broadcast=reader.broadcast)
        op, tensors = _read(stage, reader, values, wires, loader)
        check_inputs_in_tiles(op, stage.op, stage.inputs, nodes)
        wire, written = infer_wire(op, wires), _show_parameters(stage, reader, op)
        return Node(stage.name, stage.op, op, stage.inputs, wire, tensors, written=written)
    except ShapeError as error:
        if error.file or error.where:
            raise
        place = stage.place
        raise ShapeError(
            f"stage {stage.name!r} ({stage.op}): {error.message}", file=place.file or None, where=str(place) or None
        ) from error


def _values_of(stage: Stage) -> Values:
    return Values(stage.values, stage.places, stage.place, f"stage {stage.name!r} ({stage.op})")


def _check_keys(values: Values, reader: OpReader) -> None:
    """Raise for the first key that is none of the operator, naming the nearest of all that the stage may have.

    Whether ``bias: true`` fits an operator with a bias is the reader's to say.
    """
    values.refuse_keys(reader.refused)
    of_tensors = [key for key in TENSOR_KEYS if key in reader.tensors or (key == "tensors" and reader.tensors)]
    values.refuse_unknown(dict.fromkeys((*reader.parameters, *of_tensors, *FIXED_KEYS)))


def _show_parameters(stage: Stage, reader: OpReader, op: Op) -> dict[str, Any]:
    """Return what the spec says of the operator, and what follows from a weight, less the numbers of channels."""
    written = {key: value for key, value in stage.values.items() if value is not None and key not in _CHANNEL_KEYS}
    known = (*reader.parameters, *reader.tensors) if reader.tensors else ()
    derived = {key: value for key, value in op.describe().items() if key in known}
    return {**derived, **written}


def _expected_inputs(fewest: int, most: int | None) -> str:
    if most is None:
        return f"at least {fewest}, as inputs: [A, B]"
    return "one" if most == 1 else f"{fewest} to {most}, as inputs: [A, B]"


def _count(inputs: int) -> str:
    return "1 input" if inputs == 1 else f"{inputs} inputs"


def _find_reader(stage: Stage, dialect: Dialect) -> OpReader:
    if stage.op not in dialect.readers:
        place = stage.places.get("op", stage.place)
        raise SpecError(
            f"found op {stage.op!r}, expected one of {list_names(dialect.readers)}{nearest(stage.op, dialect.readers)}",
            code="spec.unknown",
            file=place.file or None,
            where=str(place) or None,
        )
    return dialect.readers[stage.op]


def _read(
    stage: Stage, reader: OpReader, values: Values, wires: tuple[Wire, ...], loader: TensorLoader
) -> tuple[Op, dict[str, Array]]:
    """Return a stage's operator and its weights in canonical layout."""
    wire = wires[0]
    if not reader.tensors:
        return reader.read(values, Context(wire.channels, shape=wire.shape, inputs=wires)), {}
    source = _source(stage, "weight")
    sought = reader.follows_weight and not isinstance(source, InitSource)
    weight = loader.find(source, stage, reader, wire) if sought else None
    if reader.follows_weight and "bias" in reader.tensors:
        default = not isinstance(source, GeneratorSource | InlineSource)
        values = replace_values(values, bias="bias" in stage.tensors or values.get("bias", default))
    if isinstance(source, GeneratorSource) and weight is not None:
        values = replace_values(values, kernel_size=list(weight.shape[2:]))
    depthwise = isinstance(source, GeneratorSource)
    shape = None if weight is None else loader.reader_of(source, reader, weight).plain_shape(weight.shape)
    op = reader.read(values, Context(wire.channels, shape, depthwise, wire.shape, wires))
    wanted_shapes = reader.stored_shapes(op)
    for name in stage.tensors:
        if name not in wanted_shapes:
            values.fail(name, f"tensor {name!r}", f"none of that name with these parameters: {stage.op} has it not")
    tensors = {}
    for name in wanted_shapes:
        origin = _source(stage, name, like=source)
        layout = reader
        if isinstance(origin, InitSource):
            stored = loader.initialise(origin, op, reader, name, stage)
        else:
            found = weight if name == "weight" and weight is not None else loader.find(origin, stage, reader, wire)
            layout = loader.reader_of(origin, reader, found)
            wanted = Wanted(name, op, layout, isinstance(origin, KeySource), loader.layout_of(origin, found.layout))
            place = origin.place if origin.place.line else stage.place
            check_shape(found.shape, wanted, f"stage {stage.name!r} ({stage.op}): {_label(origin, name)}", place)
            stored = found.read()
        tensors[name] = _finite(layout.canonical(op, name, stored), wire.dtype, stage, name)
        if isinstance(origin, KeySource):
            for ignored in reader.ignored:
                loader.pass_over(f"{origin.key.removesuffix(name)}{ignored}")
    _check_values(reader, op, tensors, wire.dtype, stage)
    return op, tensors


def _check_values(reader: OpReader, op: Op, tensors: Mapping[str, Array], dtype: str, stage: Stage) -> None:
    try:
        reader.check_tensors(op, tensors, compute_dtype(dtype))
    except WeightsError as error:
        place = stage.place
        raise WeightsError(
            f"stage {stage.name!r} ({stage.op}): {error.message}",
            code=error.code,
            file=place.file or None,
            where=str(place) or None,
        ) from error


def replace_values(values: Values, **items: object) -> Values:
    """Return `values` with `items` put in."""
    return Values({**values.items, **items}, values.places, values.place, values.subject)


def _source(stage: Stage, name: str, like: TensorSource | None = None) -> TensorSource:
    """Return where tensor `name` comes from; where unsaid, a bias follows an initialised weight, else the file."""
    if name in stage.tensors:
        return stage.tensors[name]
    if isinstance(like, InitSource):
        return replace(like)
    return OwnKey(f"{stage.name}.{name}", tensor=name)


def _label(source: TensorSource, name: str) -> str:
    return f"{name} {source.key!r}" if isinstance(source, KeySource) else name


def _finite(tensor: Array, dtype: str, stage: Stage, name: str) -> Array:
    rounded = round_to(tensor, dtype)
    bad = int(np.count_nonzero(~np.isfinite(rounded)))
    if bad:
        raise WeightsError(
            f"stage {stage.name!r}: {name} has {bad} values that are not finite in {dtype}, expected none",
            code="weights.not_finite",
            file=stage.place.file or None,
            where=str(stage.place) or None,
        )
    return rounded if dtype in HALVES else tensor
