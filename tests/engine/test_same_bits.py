"""The same bytes from every kernel, whatever the tile, the number of threads and the width of the vectors.

One table of pipelines, together all kernels there are. Few different specialisations arise, for each takes seconds to
compile: the whole product of types, widths, tiles and threads is for the slow suite, the other runs a part of it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

import volconv.kernels
from volconv.engine.gathering import gathering_specs
from volconv.engine.numba_engine import needed_kernels
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.kernels import jit
from volconv.kernels.catalog import ConvKernel, vector_bits
from volconv.ops.base import Wire
from volconv.plan.buffers import choose_kernels
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec_mapping

ROOT = Path(__file__).parents[2]
BUDGET = 2**34
WIDTHS = [bits for bits in (512, 256, 128) if bits <= vector_bits()]


@dataclass(frozen=True)
class Layer:
    """A pipeline on an input of `shape` (C, D, H, W), tried whole and in `tiles`.

    `families` are those of its convolutions' kernels at 512 bits.
    """

    families: frozenset[str]
    shape: tuple[int, int, int, int]
    stages: tuple[dict, ...]
    outputs: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    tiles: tuple[tuple[int, int, int], ...] = ((3, 4, 33), (1, 7, 10), (4, 3, 7))


def conv(outputs, size=3, padding="same", **more):
    """A convolution of random weights and bias."""
    weight = {"init": "default", "seed": outputs}
    return {"op": "Conv3d", "out_channels": outputs, "kernel_size": size, "padding": padding, "weight": weight, **more}


def up(outputs, size=3, **more):
    """A transposed convolution of random weights and bias."""
    weight = {"init": "default", "seed": outputs}
    return {
        "op": "ConvTranspose3d",
        "out_channels": outputs,
        "kernel_size": size,
        "stride": 2,
        "weight": weight,
        **more,
    }


def norm(channels):
    """A batch norm of random statistics."""
    rng = np.random.default_rng(channels)
    mean, bias = rng.standard_normal((2, channels)).tolist()
    variance, weight = rng.uniform(0.1, 2, (2, channels)).tolist()
    return {"op": "BatchNorm3d", "tensors": {"running_mean": mean, "running_var": variance}, "weight": weight,
            "bias": bias}  # fmt: skip


def layer(families, shape, *stages, **more):
    """A row of the table."""
    return Layer(frozenset(families.split()), shape, stages, **more)


def add(*stages):
    """A sum."""
    return {"op": "Add", "inputs": list(stages)}


RELU, LEAKY, SILU = {"op": "ReLU"}, {"op": "LeakyReLU", "negative_slope": 0.2}, {"op": "SiLU"}
CLIP, PRELU = {"op": "Clip", "min": -0.5, "max": 0.75}, {"op": "PReLU", "weight": [0.3]}
FACTORS = {"weight": {"generator": "gaussian", "sigma": 1.5}, "padding": "same"}
LAYER_NORM = {"op": "LayerNorm", "weight": [0.5, -1.0, 2.0, 0.1, 3.0], "bias": [1.0, 2.0, 3.0, -4.0, 5.0]}
ACTIVATIONS = ("ELU", "SELU", "GELU", "Sigmoid", "Tanh", "Softplus", "Hardswish", "Abs")

LAYERS = {
    "first": layer("first", (1, 5, 6, 150), conv(5), norm(5), RELU),
    "first, stride 2": layer("first", (5, 5, 7, 150), conv(11, stride=[1, 2, 2], padding=1), norm(11), CLIP),
    "first, far apart": layer("first", (3, 6, 6, 50), conv(5, dilation=[2, 1, 17], padding_mode="circular"), LEAKY),
    "first, grouped": layer("first", (6, 4, 5, 40), conv(10, groups=2, padding_mode="replicate")),
    "first, then SiLU": layer("first", (1, 4, 5, 70), conv(5), SILU),
    "rows": layer("rows", (5, 5, 6, 150), conv(1, [3, 2, 3], padding=1), RELU),
    "rows, 21 apart": layer("rows", (21, 4, 5, 40), conv(21, groups=21, padding_mode="reflect"), norm(21), SILU),
    "last": layer("last", (3, 4, 5, 21), conv(30, 2, padding=1), norm(30), RELU),
    "last, stride 2": layer("last", (5, 5, 7, 21), conv(30, stride=2, padding=1), norm(30), SILU),
    "last, one vector": layer("last winograd", (3, 4, 5, 21), conv(16), RELU, conv(16)),
    "last, grouped": layer("last", (6, 4, 5, 21), conv(64, 1, groups=2), LEAKY),
    "winograd": layer("winograd", (21, 5, 6, 21), conv(30), norm(30), RELU),
    "winograd, dilated": layer(
        "winograd", (21, 6, 6, 21), conv(30, dilation=2, padding_mode="replicate"), SILU, conv(21)
    ),
    "pairs": layer("pairs", (5, 5, 6, 70), conv(5, dilation=[1, 2, 4]), norm(5), RELU),
    "pairs, 11 channels": layer("pairs", (3, 6, 5, 150), conv(11, padding_mode="reflect"), SILU),
    "minimal": layer("minimal", (21, 5, 6, 21), conv(30, stride=2, padding=1), norm(30), RELU),
    "minimal, kept depth": layer(
        "minimal", (21, 5, 6, 21), conv(30, stride=[1, 2, 2], dilation=[2, 1, 1], padding_mode="circular", padding=1),
        SILU, dtypes=("float32",),
    ),
    "minimal, flat": layer(
        "minimal", (33, 5, 6, 21), conv(40, [1, 3, 3], padding=[0, 1, 1]), CLIP, dtypes=("float32",)
    ),
    "minimal, transposed": layer("minimal", (21, 3, 4, 11), up(40, padding=1, output_padding=1), norm(40), RELU),
    "minimal, transposed, four taps": layer(
        "minimal", (21, 3, 4, 9), up(30, 4, padding=1), LEAKY, dtypes=("float32",)
    ),
    "minimal, residual": layer(
        "last minimal", (21, 6, 8, 22), conv(30, 2, stride=2, padding=0), conv(30, stride=2, padding=1,
        input="input"), add("s1", "s0"), SILU, dtypes=("float32",),
    ),
    "phases": layer("phases", (5, 3, 4, 11), up(30, padding=1, output_padding=1), norm(30), RELU),
    "phases of one tap": layer("phases", (11, 3, 4, 11), up(30, 2), SILU),
    "phase by phase": layer("first", (11, 3, 4, 30), up(5, padding=1), norm(5), RELU),
    "depthwise": layer("depthwise", (48, 4, 5, 21), conv(48, groups=48), norm(48), RELU),
    "depthwise, stride 2": layer("depthwise", (48, 5, 5, 21), conv(48, groups=48, stride=2, padding=1), SILU),
    "sweep": layer("sweep", (3, 6, 7, 70), {"op": "Conv3d", **FACTORS}, {"op": "Affine", "scale": 1.5, "shift": 0.5}),
    "sweep, reflected": layer("sweep", (1, 9, 8, 50), {"op": "Conv3d", **FACTORS, "padding_mode": "reflect"}, SILU),
    "pointwise": layer("", (5, 4, 5, 41), PRELU, {"op": "Affine", "shift": 0.25}, *({"op": a} for a in ACTIVATIONS)),
    "pointwise, channels last": layer(
        "last", (3, 4, 5, 11), conv(30, 2, padding=1), norm(30), {"op": "Tanh"}, outputs=("s0", "s1", "s2")
    ),
    "batch norm": layer("", (11, 4, 5, 41), norm(11), {"op": "GELU", "approximate": "tanh"}),
    "sums": layer(
        "last pairs rows", (3, 4, 5, 21), conv(30, 2, padding=[1, 1, 1]), conv(1),
        {"op": "Conv3d", "input": "input", "out_channels": 5, "kernel_size": 3, "padding": 1,
         "weight": {"init": "default", "seed": 3}},
        conv(1), {"op": "Affine", "scale": 2.0}, {"op": "Add", "inputs": ["s4", "s3"]}, RELU,
        outputs=("s0", "s6"),
    ),
    "first, residual": layer("first", (5, 5, 6, 150), conv(5, 1), norm(5), add("s1", "input"), RELU),
    "rows, residual": layer("rows", (1, 5, 6, 150), conv(1), add("input", "s0"), SILU),
    "last, residual": layer("last", (3, 4, 5, 21), conv(30, 1), conv(30, 1), LEAKY, add("s0", "s2")),
    "winograd, residual": layer("winograd", (21, 5, 6, 21), conv(30), conv(30), norm(30), add("s2", "s0"), RELU),
    "pairs, residual": layer("pairs", (5, 5, 6, 70), conv(5), add("s0", "input"), SILU),
    "phases, residual": layer(
        "last phases", (5, 6, 8, 22), conv(30, 1), conv(30, 2, stride=2, padding=0), up(30, 2), add("s2", "s0"), SILU
    ),
    "phase by phase, residual": layer(
        "first", (5, 6, 8, 22), conv(5, 1), conv(5, 2, stride=2, padding=0), up(5, 2), add("s2", "s0"), RELU
    ),
    "depthwise, residual": layer(
        "last depthwise", (48, 4, 5, 21), conv(48, 1), conv(48, groups=48), CLIP, add("s2", "s0")
    ),
    "gates": layer(
        "", (5, 4, 5, 41), {"op": "Slice", "dim": [2, 3, 4], "end": [1, 1, 1]},
        {"op": "Mul", "inputs": ["input", "s0"]}, SILU, {"op": "Div", "inputs": ["s2", "input"]},
        {"op": "Sub", "inputs": ["s3", "input"]}, RELU,
    ),
    "gates, channels last": layer(
        "last", (3, 4, 5, 11), conv(30, 2, padding=1), {"op": "Slice", "dim": 1, "end": 1},
        {"op": "Mul", "inputs": ["s1", "s0"]}, {"op": "Div", "value": 3}, norm(30), {"op": "Tanh"},
    ),
    "joined and cut": layer(
        "last", (5, 4, 5, 41), {"op": "Pad", "padding": [3, 2, 1, 0, 1, 2], "mode": "reflect"},
        {"op": "Crop", "size": [4, 5, 40]}, {"op": "Flip", "dims": [1]}, {"op": "Concat", "inputs": ["s1", "s2"]},
        {"op": "Pad", "padding": [1, -1, 2, 0], "value": 0.5}, conv(30, 2, "valid"), outputs=("s4", "s5"),
    ),
    "layer norm": layer("", (5, 4, 5, 300), LAYER_NORM, SILU),
    "layer norm, channels last": layer(
        "last", (3, 4, 5, 41), conv(30, 2, "valid"), {"op": "LayerNorm", "elementwise_affine": False},
    ),
    "pools": layer(
        "", (3, 6, 7, 41), {"op": "MaxPool3d", "kernel_size": 3, "stride": 2, "padding": 1},
        {"op": "AvgPool3d", "kernel_size": 2, "ceil_mode": True}, SILU, outputs=("s0", "s2"),
    ),
    "pools, channels last": layer(
        "last", (3, 6, 7, 21), conv(30, 2, "valid"), {"op": "MaxPool3d", "kernel_size": 2},
        {"op": "AvgPool3d", "kernel_size": 2, "stride": 1}, outputs=("s1", "s2"),
    ),
    "resampled": layer(
        "", (3, 4, 5, 21), {"op": "Upsample", "scale_factor": 2, "mode": "trilinear"},
        {"op": "Upsample", "size": [5, 9, 50]}, outputs=("s0", "s1"),
    ),
    "resampled, channels last": layer(
        "last", (3, 4, 5, 11), conv(30, 2, "valid"),
        {"op": "Upsample", "scale_factor": 2, "mode": "trilinear", "align_corners": True},
        {"op": "Upsample", "scale_factor": 2}, outputs=("s1", "s2"),
    ),
    "shuffled": layer("last", (3, 4, 5, 11), conv(64, 1, 0), {"op": "PixelShuffle3d", "upscale_factor": 2}, SILU),
    "scores and labels": layer(
        "pairs", (3, 4, 5, 41), conv(5), {"op": "Softmax"}, {"op": "LogSoftmax", "input": "s0"},
        {"op": "ArgMax", "input": "s0"}, {"op": "Remap", "labels": {1: 3, 4: 0}}, outputs=("s1", "s2", "s4"),
    ),
    "scores and labels, channels last": layer(
        "last", (3, 4, 5, 21), conv(30, 2, "valid"), {"op": "Softmax"}, {"op": "LogSoftmax", "input": "s0"},
        {"op": "ArgMax", "input": "s0"}, outputs=("s1", "s2", "s3"),
    ),
    "norms of the volume": layer(
        "last pairs", (3, 5, 6, 21), conv(5), {"op": "InstanceNorm3d"}, RELU, conv(30, 1), {"op": "GroupNorm",
        "num_groups": 5, "affine": False}, SILU, {"op": "AdaptiveAvgPool3d", "output_size": 1},
        {"op": "AdaptiveMaxPool3d", "output_size": 1, "input": "s5"}, {"op": "Mul", "inputs": ["s5", "s6"]},
        outputs=("s7", "s8"),
    ),
    "vector norm": layer("first", (1, 5, 6, 41), conv(3), {"op": "VectorNorm"}),
    "copies": layer("last", (3, 4, 5, 21), {"op": "Identity"}, conv(30, 2, "valid"), outputs=("s0", "s1")),
    "halves": layer("first last", (1, 5, 6, 21), conv(5), {"op": "GELU"}, conv(30, 2), dtypes=("float16", "bfloat16")),
}  # fmt: skip
FAST = ("first", "rows", "last", "last, residual", "pointwise, channels last", "halves")
CASES = [(name, dtype) for name, layer in LAYERS.items() for dtype in layer.dtypes]
FAST_CASES = [(name, LAYERS[name].dtypes[0]) for name in FAST]


@cache
def graph_of(name, dtype):
    """The graph of a row, after its passes."""
    row = LAYERS[name]
    stages = [{**stage, "name": f"s{n}"} for n, stage in enumerate(row.stages)]
    mapping = {"volconv": 1, "input": {"channels": row.shape[0]}, "dtype": dtype, "stages": stages}
    spec = load_spec_mapping(mapping | ({"outputs": list(row.outputs)} if row.outputs else {}))
    wire = Wire(row.shape[1:], row.shape[0], dtype, spacing_mm=(1.0, 1.0, 1.0))
    return optimise(build_graph(spec, wire, make_loader(spec)))


@cache
def values_of(name, dtype, spoilt):
    """A row's input; if `spoilt`, with values that are not finite, some of them in one window."""
    shape = LAYERS[name].shape
    kept = "float64" if dtype == "float64" else "float32"
    x = np.random.default_rng(0).standard_normal(shape).astype(kept)
    if spoilt:
        x[0, 1, 2, 3] = np.nan
        x[-1, -1, -2, -4] = np.inf
        x[0, -1, -1, -5] = -np.inf
        x[0, 2, 1, 5:7] = -np.nan, np.nan  # of the other sign, and of both in one window
    x.flags.writeable = False
    return x


def run(name, dtype, spoilt, tile="whole", threads=1):
    """Every output's bytes, by name."""
    with np.errstate(invalid="ignore", over="ignore"):
        found = run_graph(graph_of(name, dtype), ArraySource(values_of(name, dtype, spoilt)), BUDGET, threads, tile)
    return {output: values.tobytes() for output, values in found.items()}


@cache
def whole_of(name, dtype, spoilt):
    """What one thread gives of the whole volume, by vectors of the processor's width."""
    return run(name, dtype, spoilt)


@pytest.fixture
def narrow(monkeypatch):
    """Sets the width of vectors; the folder of compiled kernels stays that of the processor's own."""
    jit.kernel_cache()
    before = jit.thread_count()
    yield lambda bits: monkeypatch.setenv("VOLCONV_VECTOR_BITS", str(bits))
    jit.set_threads(before)


def check(name, dtype, bits, narrow, tiles):
    for spoilt in (False, True):
        expected = whole_of(name, dtype, spoilt)
        narrow(bits)
        assert vector_bits() == bits
        for tile in ("whole", *tiles):
            for threads in (1, 2):
                found = run(name, dtype, spoilt, tile, threads)
                for output, content in expected.items():
                    assert found[output] == content, (output, tile, threads, spoilt)
        narrow("")


# A width beside the processor's own takes all kernels' compiling once more: for one family here, for all at length.
FAST_ROWS = [
    (name, dtype, bits) for name, dtype in FAST_CASES for bits in (WIDTHS[:2] if name == "first" else WIDTHS[:1])
]


@pytest.mark.parametrize(("name", "dtype", "bits"), FAST_ROWS)
def test_every_tile_thread_count_and_width_gives_the_same_bytes(name, dtype, bits, narrow):
    check(name, dtype, bits, narrow, LAYERS[name].tiles[:1])


# In float64 one width beside the processor's own, to save some ten minutes of compiling; all by VOLCONV_EVERY_WIDTH=1.
AT_LENGTH = [
    (name, dtype, bits)
    for name, dtype in CASES
    for bits in WIDTHS
    if dtype != "float64" or bits == 256 or os.environ.get("VOLCONV_EVERY_WIDTH")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype", "bits"), AT_LENGTH)
def test_every_tile_thread_count_and_width_gives_the_same_bytes_at_length(name, dtype, bits, narrow):
    check(name, dtype, bits, narrow, LAYERS[name].tiles)


def digests(name, dtype):
    """Digests of a row's outputs of whole volumes, of ordinary values and with some that are not finite."""
    return [sha256(b"".join(run(name, dtype, spoilt).values())).hexdigest() for spoilt in (False, True)]


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of x86-64")
@pytest.mark.skipif(vector_bits() < 512, reason="needs a processor of wider vectors than those it is compared with")
@pytest.mark.parametrize("name", LAYERS)
def test_code_for_a_processor_of_narrower_vectors_gives_the_same_bytes(name):
    """Loops that LLVM makes vectors of itself know nothing of VOLCONV_VECTOR_BITS: for them the target is another."""
    row = name, LAYERS[name].dtypes[0]
    code = f"import json, tests.engine.test_same_bits as t; print(json.dumps(t.digests{row}))"
    features = "+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt,+lzcnt"
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features, "VOLCONV_VECTOR_BITS": "256"}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings, "PYTHONPATH": paths}, cwd=ROOT, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(found.stdout) == digests(*row)


@pytest.mark.parametrize("name", [name for name in LAYERS if name.endswith("residual")])
def test_a_residual_is_added_by_its_convolution(name):
    nodes = make_plan(graph_of(name, "float32"), budget=BUDGET, traffic=Traffic()).graph.nodes
    assert [node.op_name for node in nodes if node.residual is not None or node.op_name == "Add"] == [
        "ConvTranspose3d" if "phase" in name else "Conv3d"
    ]


def families_of(name):
    """The families that the catalog chooses at 512 bits for a row's convolutions."""
    row = LAYERS[name]
    return {kernel.name for kernel in choose_kernels(graph_of(name, row.dtypes[0]), 512).values()}


@pytest.mark.parametrize("name", LAYERS)
def test_a_row_has_the_kernels_it_says(name):
    assert families_of(name) == LAYERS[name].families


def test_every_family_of_convolutions_is_in_the_table():
    families = get_args(get_type_hints(ConvKernel)["name"])
    assert set().union(*(row.families for row in LAYERS.values())) == set(families)


def test_every_kernel_that_runs_can_ask_for_is_in_the_table():
    for module in pkgutil.iter_modules(volconv.kernels.__path__):
        importlib.import_module(f"volconv.kernels.{module.name}")
    seen = set()
    for name, dtype in CASES:
        for tile in (None, (2, 2, 2)):
            plan = make_plan(graph_of(name, dtype), budget=BUDGET, traffic=Traffic(), tile=tile)
            seen |= {spec.name for part in plan.phases or (plan,) for spec in needed_kernels(part)}
            seen |= {spec.name for part in plan.phases for spec in gathering_specs(part.part.ends)}
    assert seen == {name for name in jit._factories if not name.startswith("peak.")}
