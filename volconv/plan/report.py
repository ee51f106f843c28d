"""The plan as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ..geometry import Triple
from ..graph.model import INPUT, Node
from ..graph.passes import chain_names
from ..graph.passes.algorithms import filters_of
from ..kernels.catalog_filters import count_products
from ..numeric import HALVES, compute_dtype
from ..ops.base import Wire
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from ..ops.global_pool import GlobalPool
from .cost import stage_seconds
from .model import Plan
from .tiling import format_bytes

_SIZES = (
    "kernel_size", "stride", "padding", "dilation", "output_padding", "size", "output_size", "output_shape", "low",
    "high", "scale_factor", "upscale_factor",
)  # fmt: skip
"""Parameters of a number along each axis, W last."""
_WHOLE_SECONDS = 1e-7
"""A voxel's share of finding components in a whole label map: 0.3 s for 256³ voxels of few parts, 2 s of very many."""


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return the plan as one JSON-able document."""
    return {
        "description": plan.description,
        "input": {
            "shape": list(plan.graph.input.shape),
            "channels": plan.graph.input.channels,
            "spacing_mm": None if plan.graph.input.spacing_mm is None else list(plan.graph.input.spacing_mm),
        },
        "before": list(plan.before),
        "after": list(plan.after),
        "dtype": plan.graph.input.dtype,
        "computed_in": compute_dtype(plan.graph.input.dtype),
        "stages": [
            *(_describe_stage(plan, node) for node in plan.graph.nodes),
            *(_describe_whole(plan, node) for node in _after_tiles(plan)),
        ],
        "notes": list(plan.notes),
        "outputs": {name: _describe_output(wire) for name, wire in _output_wires(plan).items()},
        "tiles": _describe_tiles(plan),
        "phases": [_describe_phase(phase, plan) for phase in plan.phases],
        "batch": plan.batch,
        "threads": plan.threads,
        "macs": plan.macs,
        "arena_bytes": plan.arena_bytes,
        "overlapped": any(phase.slots for phase in plan.phases or (plan,)),
        "peak_bytes": plan.peak_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "seconds": round(plan.seconds, 3),
        **({} if plan.done is None else {"tiles_done": plan.done}),
    }


def _describe_tiles(plan: Plan) -> dict[str, Any]:
    return {"count": plan.count, "grid": list(plan.grid), "shape": list(plan.tile_shape)}


def _describe_phase(phase: Plan, whole: Plan) -> dict[str, Any]:
    """Return what one phase computes, in which tiles, what it leaves to later ones and where, and what it takes."""
    part = phase.part
    assert part is not None
    made = [node.name for node in part.ends]
    kept = [store for store in whole.stores if store.wire in (*part.keeps, *made)]
    return {
        "stages": [node.name for node in phase.graph.nodes],
        "reads": list(phase.graph.stored),
        "stores": [
            {"stage": s.wire, "bytes": s.nbytes, "where": "memory" if s.offset is None else "scratch"} for s in kept
        ],
        "statistics": list(part.gathers),
        "tiles": _describe_tiles(phase),
        "arena_bytes": phase.arena_bytes,
        "peak_bytes": phase.peak_bytes,
        "seconds": round(phase.seconds, 3),
    }


def _phase_of(plan: Plan, name: str) -> Plan:
    """Return the phase in which stage `name` is first computed or made: `plan` itself where it has none."""
    for phase in plan.phases:
        if name in phase.windows[0][0]:
            return phase
    return plan


def _describe_stage(plan: Plan, node: Node) -> dict[str, Any]:
    kernel = plan.kernels.get(node.name)
    return {
        "name": node.name,
        "op": " + ".join(chain_names(node)),
        "inputs": list(node.inputs),
        "shape": list(node.wire.shape),
        "channels": node.wire.channels,
        "parameters": _parameters(node),
        "fused": [{"name": part.name, "op": part.op_name, "parameters": _parameters(part)} for part in node.epilogue],
        "macs": node.macs(node.wire.shape[0] * node.wire.shape[1] * node.wire.shape[2]),
        "halo": [0, 0, 0] if isinstance(node.op, GlobalPool) else _halo(_phase_of(plan, node.name), node),
        "kernel": node.op.kernel if kernel is None else f"{kernel.algorithm}, channels {kernel.writes}",
        "why": _reason(node),
        "seconds": round(
            stage_seconds(plan.graph, node, computed_voxels(plan, node.name), plan.threads) * plan.batch, 6
        ),
    }


def _halo(plan: Plan, node: Node) -> list[int]:
    return [max(sides) for sides in zip(*(halo(plan, name) for name in node.inputs), strict=True)]


def _reason(node: Node) -> str:
    """Return what a convolution's algorithm saves, empty where every product is taken."""
    op = node.op
    if not isinstance(op, Conv3d | ConvTranspose3d) or node.algorithm == "direct":
        return ""
    if node.algorithm == "factored":
        fast, direct = sum(op.kernel_size), prod(op.kernel_size)
    elif node.algorithm == "winograd1d":
        fast, direct = 4, 6
    else:
        fast, direct = count_products(filters_of(op) or ("three",) * 3)
    return f"{fast} products for {direct}"


def computed_voxels(plan: Plan, wire: str) -> int:
    """Return how many voxels of `wire` all tiles compute or read, those several tiles need as often."""
    windows = _phase_of(plan, wire).windows
    return prod(sum(w[wire].inner[1] - w[wire].inner[0] for w in cells) for cells in windows)


def halo(plan: Plan, wire: str) -> Triple:
    """Return how many voxels of `wire` a tile reads beyond its share of the volume, along D, H, W, at most."""
    wide = []
    for axis in range(3):
        length = plan.graph.wire(wire).shape[axis]
        cells = plan.windows[axis]
        most = max(w[wire].inner[1] - w[wire].inner[0] for w in cells)
        wide.append(max(0, most - -(-length // len(cells))))
    return (wide[0], wide[1], wide[2])


def _after_tiles(plan: Plan) -> list[Node]:
    """Return the stages that are carried out on whole label maps, each once."""
    return list({node.name: node for chain in plan.chains.values() for node in chain.nodes}.values())


def _describe_whole(plan: Plan, node: Node) -> dict[str, Any]:
    voxels = prod(node.wire.shape) * node.wire.channels
    return {
        "name": node.name,
        "op": node.op_name,
        "inputs": list(node.inputs),
        "shape": list(node.wire.shape),
        "channels": node.wire.channels,
        "parameters": _parameters(node),
        "fused": [],
        "macs": 0,
        "halo": [0, 0, 0],
        "kernel": node.op.kernel,
        "why": "whole, after the last tile",
        "seconds": round(voxels * _WHOLE_SECONDS * plan.batch, 6),
    }


def _output_wires(plan: Plan) -> dict[str, Wire]:
    """Return the wire of every output that was asked for."""
    gathered = {chain.source for chain in plan.chains.values() if not chain.asked}
    wires = {name: plan.graph.wire(name) for name in plan.graph.outputs if name not in gathered}
    return wires | {name: chain.nodes[-1].wire for name, chain in plan.chains.items()}


def _describe_output(wire: Wire) -> dict[str, Any]:
    return {
        "shape": list(wire.shape),
        "channels": wire.channels,
        "spacing_mm": None if wire.spacing_mm is None else list(wire.spacing_mm),
        **({"labels": wire.labels} if wire.labels else {}),
    }


def _parameters(node: Node) -> dict[str, Any]:
    return {
        key: _plain(tuple(value) if key in _SIZES and isinstance(value, list) else value)
        for key, value in node.parameters.items()
    }


def _plain(value: Any) -> Any:
    """Return a tuple as a list, or as what all its parts are; lists stay as the spec has them."""
    if isinstance(value, tuple):
        parts = [_plain(v) for v in value]
        return parts[0] if parts and all(p == parts[0] for p in parts) else parts
    return value


def format_plan(plan: Plan) -> str:
    """Return the plan as text: a row a stage, then tiles, memory and time."""
    document = describe_plan(plan)
    header = ("stage", "op", "shape", "channels", "parameters", "multiply-adds", "halo", "kernel", "seconds")
    before = [INPUT, *(stage["name"] for stage in document["stages"])]
    rows = [header, *(_row(stage, name) for stage, name in zip(document["stages"], before, strict=False))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    tiles = document["tiles"]
    lines += [
        "",
        f"input    {_times(plan.graph.input.shape)}, {plan.graph.input.channels} channel(s), {_dtype_text(plan)}",
        *(f"before   {line}" for line in plan.before),
        *(f"after    {line}" for line in plan.after),
        *(_phase_lines(document) or [f"tiles    {_tiles_text(tiles)}{_overlap_text(plan)}"]),
        f"memory   {format_bytes(plan.peak_bytes)} at the peak, {format_bytes(plan.arena_bytes)} of it for tiles",
        f"scratch  {format_bytes(plan.scratch_bytes)}",
        f"time     about {plan.seconds:.2g} s on {plan.threads} thread(s)",
        *([] if plan.done is None else [f"resumed  {plan.done} of {plan.count * plan.batch} tiles are done"]),
        *(f"note     {note}" for note in document["notes"]),
    ]
    return "\n".join(lines)


def _tiles_text(tiles: Mapping[str, Any]) -> str:
    return f"{tiles['count']} of {_times(tiles['shape'])} ({_times(tiles['grid'])})"


def _phase_lines(document: Mapping[str, Any]) -> list[str]:
    """Return a line a phase: its tiles, and what it stores and gathers for later ones."""
    lines = []
    for number, phase in enumerate(document["phases"], 1):
        words = [f"{_tiles_text(phase['tiles'])}, {format_bytes(phase['peak_bytes'])}"]
        for store in phase["stores"]:
            words.append(f"{store['stage']} to {store['where']} ({format_bytes(store['bytes'])})")
        if phase["statistics"]:
            words.append(f"statistics of {', '.join(phase['statistics'])}")
        lines.append(f"phase {number}  tiles {'; '.join(words)}")
    return lines


def _overlap_text(plan: Plan) -> str:
    return ", read and written while others are computed" if plan.slots else ""


def _row(stage: Mapping[str, Any], before: str) -> tuple[str, ...]:
    """Return the cells of a stage; what it reads is said unless that is the stage `before` it alone."""
    words = _parameter_words(stage["parameters"])
    for part in stage["fused"]:
        if part["parameters"]:
            words += ["+", *_parameter_words(part["parameters"])]
    if stage["inputs"] != [before]:
        words.insert(0, f"{'input' if len(stage['inputs']) == 1 else 'inputs'}={','.join(stage['inputs'])}")
    parameters = " ".join(words)
    return (
        stage["name"],
        stage["op"],
        _times(stage["shape"]),
        str(stage["channels"]),
        parameters or "-",
        _si(stage["macs"]),
        _times(stage["halo"]) if any(stage["halo"]) else "-",
        f"{stage['kernel']} ({stage['why']})" if stage["why"] else stage["kernel"],
        f"{stage['seconds']:.2g}",
    )


def _parameter_words(parameters: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_parameter_text(key, value)}" for key, value in parameters.items()]


def _parameter_text(key: str, value: Any) -> str:
    """Return a parameter as a spec writes it, but sizes along the axes with ``x`` and lists without blanks."""
    if isinstance(value, list):
        joint = "x" if key in _SIZES and len(value) <= 3 else ","
        return joint.join(_parameter_text("", part) for part in value)
    if isinstance(value, Mapping):
        parts = [f"{name}: {_parameter_text('', part)}" for name, part in value.items()]
        return "{" + ", ".join(parts) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _si(count: float) -> str:
    for unit in ("", "k", "M", "G"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g}T"


def _dtype_text(plan: Plan) -> str:
    dtype = plan.graph.input.dtype
    return f"{dtype}, computed in {compute_dtype(dtype)} and rounded stage by stage" if dtype in HALVES else dtype
