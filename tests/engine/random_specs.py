"""Strategies that draw small pipelines, as specs: skips, strides, pools, norms, changes of resolution."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from volconv.graph.build import build_graph, make_loader
from volconv.graph.model import INPUT
from volconv.ops.base import Wire
from volconv.spec.load import load_spec_mapping

MODES = ("zeros", "reflect", "replicate", "circular")
POINTWISE = [
    {"op": "ReLU"}, {"op": "LeakyReLU", "negative_slope": 0.2}, {"op": "Clip", "min": -0.5, "max": 0.75}, {"op": "Abs"},
    {"op": "Affine", "scale": 1.5, "shift": -0.25}, {"op": "Affine", "shift": 0.5}, {"op": "Identity"},
    {"op": "VectorNorm"}, {"op": "PReLU", "weight": [0.3]}, {"op": "SiLU"}, {"op": "Hardswish"},
]  # fmt: skip
EVERY_POINTWISE = [
    *POINTWISE, {"op": "ELU", "alpha": 0.7}, {"op": "SELU"}, {"op": "GELU"}, {"op": "GELU", "approximate": "tanh"},
    {"op": "Sigmoid"}, {"op": "Tanh"}, {"op": "Softplus", "beta": 2.0},
]  # fmt: skip


def triples(low, high):
    return st.lists(st.integers(low, high), min_size=3, max_size=3)


@st.composite
def convolutions(draw, channels, outputs):
    groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    stage = {"op": "Conv3d", "groups": groups, "out_channels": groups * draw(st.sampled_from(outputs)),
             "weight": {"init": "default", "seed": draw(st.integers(0, 9))}, "bias": draw(st.booleans())}  # fmt: skip
    if stage["bias"]:
        del stage["bias"]
    rank = 3
    if draw(st.integers(0, 5)) == 0:
        stage["op"], rank = "Conv2d", 2
    stage["kernel_size"] = draw(triples(1, 3))[-rank:]
    stage["dilation"] = draw(triples(1, 3))[-rank:]
    stage["padding_mode"] = draw(st.sampled_from(MODES))
    stage["padding"] = draw(st.sampled_from(["same", "valid", draw(triples(0, 4))[-rank:]]))
    if stage["padding"] != "same":
        stage["stride"] = [*draw(triples(1, 3))[:2], draw(st.integers(1, 2))][-rank:]
    return stage


@st.composite
def dense(draw):
    """A layer of the kind that shares products between outputs."""
    return {"op": "Conv3d", "kernel_size": 3, "out_channels": draw(st.sampled_from([12, 16, 21, 33])),
            "padding": draw(st.sampled_from(["same", "valid", draw(triples(0, 4))])), "dilation": draw(triples(1, 3)),
            "padding_mode": draw(st.sampled_from(MODES)),
            "weight": {"init": "default", "seed": draw(st.integers(0, 9))}}  # fmt: skip


@st.composite
def shared(draw, source, name):
    """A layer of stride 2 that shares products between outputs, behind one that makes channels enough."""
    random = {"weight": {"init": "default", "seed": draw(st.integers(0, 9))}}
    layer = draw(
        st.sampled_from(
            [{"stride": 2}, {"stride": [1, 2, 2]}, {"op": "ConvTranspose3d", "stride": 2, "output_padding": [0, 1, 1]}]
        )
    )
    if "op" not in layer:
        layer = {"op": "Conv3d", "padding_mode": draw(st.sampled_from(MODES)), **layer}
    return [
        {"op": "Conv3d", "name": f"{name}w", "input": source, "kernel_size": 1, "out_channels": 21, **random},
        {"input": f"{name}w", "kernel_size": 3, "out_channels": 33, "padding": draw(triples(0, 2)), **layer, **random},
    ]


@st.composite
def transposed(draw, outputs):
    stride, dilation = draw(triples(1, 3)), draw(triples(1, 2))
    extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    return {"op": "ConvTranspose3d", "out_channels": draw(st.sampled_from(outputs)), "kernel_size": draw(triples(1, 4)),
            "stride": stride, "dilation": dilation, "padding": draw(triples(0, 2)), "output_padding": extra,
            "weight": {"init": "default", "seed": draw(st.integers(0, 9))}}  # fmt: skip


@st.composite
def generated(draw):
    weight = draw(
        st.sampled_from(
            [{"generator": "gaussian", "sigma": 1}, {"generator": "mean", "size": [5, 1, 5]}, {"generator": "gradient"}]
        )
    )
    return {"op": "Conv3d", "weight": weight, "padding": "same", "padding_mode": draw(st.sampled_from(MODES))}


@st.composite
def norms(draw, channels):
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    mean, bias = rng.standard_normal((2, channels)).tolist()
    variance, weight = rng.uniform(0.1, 2, (2, channels)).tolist()
    stage = {"op": draw(st.sampled_from(["BatchNorm3d", "BatchNorm2d"])), "eps": draw(st.sampled_from([1e-5, 0.1])),
             "tensors": {"running_mean": mean, "running_var": variance}}  # fmt: skip
    return {**stage, **draw(st.sampled_from([{"weight": weight, "bias": bias}, {"affine": False}]))}


@st.composite
def sums(draw, source, wires):
    """A sum of `source` and others of its size; where paths lie a voxel apart it is refused."""
    size = (wires[source].shape, wires[source].channels)
    mates = [name for name, wire in wires.items() if (wire.shape, wire.channels) == size]
    others = draw(st.lists(st.sampled_from(mates), min_size=1, max_size=3))
    return {"op": "Add", "inputs": draw(st.permutations([source, *others]))}


@st.composite
def combinations(draw, source, wires, squared):
    """A sum, difference or, once, a product of `source` and what fits it, one of them spread over the other."""
    shape, channels = wires[source].shape, wires[source].channels
    fits = [
        name
        for name, wire in wires.items()
        if 1 in (wire.channels, channels, wire.channels // channels)
        and all(1 in (n, m) or n == m for n, m in zip(wire.shape, shape, strict=True))
    ]
    pair = draw(st.permutations([source, draw(st.sampled_from(fits))]))
    return {"op": draw(st.sampled_from(["Add", "Sub"] if squared else ["Add", "Sub", "Mul"])), "inputs": pair}


@st.composite
def joins(draw, source, wires):
    """The channels of `source` and of others of its size."""
    mates = [name for name, wire in wires.items() if wire.shape == wires[source].shape]
    others = draw(st.lists(st.sampled_from(mates), min_size=1, max_size=2))
    return {"op": "Concat", "inputs": draw(st.permutations([source, *others]))}


@st.composite
def shapes(draw, wire):
    """A part of a volume, or a volume with a border."""
    op = draw(st.sampled_from(["Slice", "Slice", "Pad", "Pad", "Flip", "Crop"]))
    dims = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4, unique=True))
    if op == "Flip":
        return {"op": op, "dims": dims}
    if op == "Crop":
        return {"op": op, "low": draw(triples(0, 1)), "high": draw(triples(0, 1))}
    if op == "Slice":
        ends = [draw(st.sampled_from([1, 1, 2, n])) for n in ((wire.channels, *wire.shape)[dim - 1] for dim in dims)]
        return {"op": op, "dim": dims, "end": ends, "step": [draw(st.integers(1, 2)) for _ in dims]}
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    padding = draw(st.lists(st.integers(-1 if mode != "circular" else 0, 2), min_size=6, max_size=6))
    return {"op": op, "padding": padding, "mode": mode, **({"value": 0.75} if mode == "constant" else {})}


@st.composite
def channel_norms(draw, channels):
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    weight, bias = rng.standard_normal((2, channels)).tolist()
    return {"op": "LayerNorm", "eps": 0.1, "weight": weight, "bias": bias}


@st.composite
def pools(draw):
    """A mean or a maximum over windows, some with a last window that reaches out."""
    op, kernel = draw(st.sampled_from(["MaxPool3d", "AvgPool3d"])), draw(triples(1, 4))
    stage = {"op": op, "kernel_size": kernel, "stride": draw(triples(1, 3)),
             "padding": [draw(st.integers(0, k // 2)) for k in kernel], "ceil_mode": draw(st.booleans())}  # fmt: skip
    if op == "MaxPool3d":
        return {**stage, "dilation": draw(triples(1, 2))}
    return {**stage, "count_include_pad": draw(st.booleans())}


@st.composite
def resamplings(draw, channels):
    """Larger or smaller by whole and broken factors, or channels dealt out as voxels."""
    if channels % 8 == 0 and draw(st.booleans()):
        return {"op": "PixelShuffle3d", "upscale_factor": 2}
    stage = {"op": draw(st.sampled_from(["Upsample", "Interpolate"]))}
    stage["mode"] = draw(st.sampled_from(["nearest", "nearest-exact", "trilinear", "trilinear"]))
    if stage["mode"] == "trilinear":
        stage["align_corners"] = draw(st.booleans())
    if draw(st.booleans()):
        return {**stage, "size": draw(triples(1, 14))}
    return {**stage, "scale_factor": [draw(st.sampled_from([0.5, 1, 1.5, 2, 2.3, 3])) for _ in range(3)]}


@st.composite
def whole_norms(draw, channels):
    """Norms and pools that look at the whole volume."""
    kind = draw(st.sampled_from(["InstanceNorm3d", "InstanceNorm3d", "GroupNorm", "AdaptiveAvgPool3d",
                                 "AdaptiveMaxPool3d"]))  # fmt: skip
    if kind.startswith("Adaptive"):
        return {"op": kind, "output_size": 1}
    stage = {"op": kind, "eps": draw(st.sampled_from([0.1, 0.5])), "affine": draw(st.booleans())}
    if kind == "GroupNorm":
        stage["num_groups"] = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    if stage["affine"]:
        rng = np.random.default_rng(draw(st.integers(0, 9)))
        stage["weight"], stage["bias"] = rng.standard_normal((2, channels)).tolist()
    return stage


@st.composite
def levels(draw, source, wire, name):
    """A strided convolution down, a transposed one up to the same size, and the skip: three stages."""
    stride, kernel = draw(triples(1, 2)), draw(st.sampled_from([1, 3]))
    lengths = [(n - 1) // s + 1 for n, s in zip(wire.shape, stride, strict=True)]
    back = [n - (m - 1) * s for n, m, s in zip(wire.shape, lengths, stride, strict=True)]
    random = {"weight": {"init": "default", "seed": draw(st.integers(0, 9))}, "stride": stride}
    middle = draw(st.sampled_from([1, 5, 16]))
    return [
        {"op": "Conv3d", "name": f"{name}d", "input": source, "kernel_size": kernel, "padding": kernel // 2,
         "out_channels": middle, **random},
        {"op": "ConvTranspose3d", "name": f"{name}u", "kernel_size": back, "out_channels": wire.channels, **random},
        {"op": "Add", "inputs": draw(st.permutations([source, f"{name}u"]))},
    ]  # fmt: skip


@st.composite
def pipelines(draw, outputs=(1, 3, 16, 24), pointwise=tuple(POINTWISE), dtypes=("float32", "float32", "float64")):
    """A spec as a mapping, the input's shape, and stages whose results are wanted too."""
    dtype = draw(st.sampled_from(dtypes))
    channels = draw(st.integers(1, 4))
    shape = tuple(draw(triples(3, 9)))
    stages, wires = [], {INPUT: Wire(shape, channels, dtype, spacing_mm=(2.0, 1.0, 0.5))}
    for n in range(draw(st.integers(1, 8))):
        source = draw(st.sampled_from([list(wires)[-1], *wires]))
        wire = wires[source]
        squared = any(stage["op"] == "Mul" for stage in stages)
        kinds = [convolutions(wire.channels, outputs), convolutions(wire.channels, outputs), transposed(outputs),
                 dense(), shared(source, f"s{n}"), generated(), st.sampled_from(pointwise),
                 st.sampled_from(pointwise), norms(wire.channels), sums(source, wires),
                 combinations(source, wires, squared), joins(source, wires),
                 shapes(wire), shapes(wire), channel_norms(wire.channels), levels(source, wire, f"s{n}"),
                 pools(), pools(), resamplings(wire.channels), resamplings(wire.channels),
                 whole_norms(wire.channels)]  # fmt: skip
        drawn = draw(draw(st.sampled_from(kinds)))
        more = [dict(stage) for stage in (drawn if isinstance(drawn, list) else [drawn])]
        more[-1]["name"] = f"s{n}"
        if "inputs" not in more[-1]:
            more[-1].setdefault("input", source)
        try:
            graph = graph_of({"stages": [*stages, *more], "dtype": dtype}, wires[INPUT])
        except ValueError:
            continue
        made = graph.nodes[len(stages) :]
        if max(np.prod(node.wire.shape) * node.wire.channels for node in made) > 40_000:
            continue
        stages += more
        wires.update({node.name: node.wire for node in made})
    assume(stages)
    names = [stage["name"] for stage in stages]
    wanted = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    saved = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    return {"stages": stages, "dtype": dtype, "outputs": wanted}, wires[INPUT], tuple(saved)


def graph_of(mapping, wire, saved=()):
    spec = load_spec_mapping({"volconv": 1, "input": {"channels": wire.channels}, **mapping})
    return build_graph(spec, wire, make_loader(spec), saved)
