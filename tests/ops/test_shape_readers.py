"""Concat, Slice, Crop and Flip in the words of each dialect."""

import numpy as np
import pytest

from volconv.dialects import dialect_names
from volconv.errors import SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.ops.base import Wire
from volconv.ops.concat import Concat
from volconv.ops.slice import Slice
from volconv.spec.load import load_spec_mapping

SHAPE, CHANNELS = (6, 7, 8), 5
AXIS = {"torch": "dim", "lucid": "dim", "megengine": "axis", "onnx": "axis"}
WORDS = {**dict.fromkeys(("torch", "lucid"), ("dim", "start", "end", "step")),
         "megengine": ("axis", "start", "end", "step"), "onnx": ("axes", "starts", "ends", "steps")}  # fmt: skip


def build(stage, dialect="torch"):
    stages = [{"op": "Identity", "name": "a"}, stage]
    spec = load_spec_mapping({"volconv": 1, "dialect": dialect, "input": {"channels": CHANNELS}, "stages": stages})
    return build_graph(spec, Wire(SHAPE, CHANNELS), make_loader(spec)).nodes[-1]


def taken(node):
    """What a slice takes of the indices of each axis."""
    op, wire = node.op, node.wire
    return [
        [start + step * n for n in range(count)]
        for start, step, count in zip(op.start, op.step, (wire.channels, *wire.shape), strict=True)
    ]


@pytest.mark.parametrize("dialect", dialect_names())
def test_channels_are_joined(dialect):
    key = AXIS[dialect]
    for more in ({}, {key: 1}, {key: -4}):
        assert build({"op": "Concat", "inputs": ["a", "input"], **more}, dialect).op == Concat()
    with pytest.raises(SpecError, match=f"{key}: .*found 2, expected 1: stages are joined over channels"):
        build({"op": "Concat", "inputs": ["a", "input"], key: 2}, dialect)
    with pytest.raises(SpecError, match="found 0, expected 1 "):
        build({"op": "Concat", "inputs": ["a", "input"], key: 0}, dialect)
    with pytest.raises(SpecError, match="found 1 input, expected at least 2"):
        build({"op": "Concat"}, dialect)


@pytest.mark.parametrize("dialect", dialect_names())
def test_slices_mean_what_python_means(dialect):
    rng = np.random.default_rng(0)
    axis, start, end, step = WORDS[dialect]
    for _ in range(200):
        axes = rng.permutation(4)[: rng.integers(1, 5)]
        a, b = rng.integers(-10, 11, (2, len(axes)))
        s = rng.integers(1, 4, len(axes)) * (rng.choice([1, -1], len(axes)) if dialect in ("onnx", "megengine") else 1)
        dims = [int(n) + 1 if rng.integers(2) else int(n) - 4 for n in axes]
        stage = {"op": "Slice", axis: dims, start: a.tolist(), end: b.tolist(), step: s.tolist()}
        expected = [list(range(n)) for n in (CHANNELS, *SHAPE)]
        for n, *part in zip(axes, a, b, s, strict=True):
            expected[n] = expected[n][slice(*map(int, part))]
        if min(map(len, expected)) == 0:
            with pytest.raises(SpecError, match=rf"{end}: .*found no place along .*, expected at least one"):
                build(stage, dialect)
        else:
            assert taken(build(stage, dialect)) == expected, stage


def test_ends_may_be_left_out_or_far_beyond():
    assert taken(build({"op": "Slice", "dim": -1, "start": 6}))[3] == [6, 7]
    assert taken(build({"op": "Slice", "dim": [1, 2], "start": [None, 1], "end": [2, None]}))[:2] == [
        [0, 1],
        [1, 2, 3, 4, 5],
    ]
    far = {"op": "Slice", "axes": [2], "starts": [-1], "ends": [-(2**63) + 1], "steps": [-2]}
    assert taken(build(far, "onnx"))[1] == [5, 3, 1]
    assert taken(build({"op": "Slice", "axes": [4], "starts": [3], "ends": [2**63 - 1]}, "onnx"))[3] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"op": "Slice", "start": 1}, "no dim, expected the key dim"),
        ({"op": "Slice", "dim": 0}, r"dim: .*found 0, expected 1 \(channels\), 2, 3, 4 \(D, H, W\), or -4 to -1"),
        ({"op": "Slice", "dim": 5}, "found 5"),
        ({"op": "Slice", "dim": [1, -4]}, "each axis once"),
        ({"op": "Slice", "dim": [1, 2], "start": 1}, "start: .*found a list of 1, expected a list of 2"),
        ({"op": "Slice", "dim": 1, "start": 1.5}, "found 1.5, expected whole numbers"),
        ({"op": "Slice", "dim": 1, "step": -1}, "found -1, expected at least 1"),
        ({"op": "Slice", "dim": 1, "step": 0}, "found 0, expected at least 1"),
        ({"op": "Slice", "dim": 1, "ends": 2}, "unknown key 'ends'"),
        ({"op": "Crop"}, "found neither low, high nor size, expected at least one of them"),
        ({"op": "Crop", "size": 3, "low": 1}, "found low beside size, expected one of them"),
        ({"op": "Crop", "size": [6, 8, 8]}, "found 8 along H of size 7, expected at most 7"),
        ({"op": "Crop", "low": 3, "high": 3}, "low: .*found no place along D of size 6"),
        ({"op": "Crop", "low": -1}, "at least 0"),
        ({"op": "Flip"}, "no dims"),
        ({"op": "Flip", "dims": []}, "a list of 0"),
    ],
)
def test_what_is_refused(stage, message):
    with pytest.raises(SpecError, match=message):
        build(stage)


@pytest.mark.parametrize("dialect", dialect_names())
def test_crops(dialect):
    both = build({"op": "Crop", "low": 1, "high": [0, 1, 2]}, dialect)
    assert taken(both)[1:] == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]
    middle = build({"op": "Crop", "size": [3, 7, 4]}, dialect)
    assert taken(middle)[1:] == [[1, 2, 3], [0, 1, 2, 3, 4, 5, 6], [2, 3, 4, 5]]
    assert build({"op": "Crop", "high": 1}, dialect).op == Slice(size=(5, 5, 6, 7))


@pytest.mark.parametrize("dialect", dialect_names())
def test_flips(dialect):
    node = build({"op": "Flip", "dims": [2, -1]}, dialect)
    assert taken(node) == [[0, 1, 2, 3, 4], [5, 4, 3, 2, 1, 0], [*range(7)], [7, 6, 5, 4, 3, 2, 1, 0]]
