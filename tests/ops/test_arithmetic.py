import ml_dtypes
import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError
from volconv.geometry import VoxelMap
from volconv.ops.arithmetic import SYMBOLS, Arithmetic, find_spread
from volconv.ops.base import Wire, read_interval
from volconv.ops.slice import Slice
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)
HERE = Wire(SHAPE, 3)
VALUES = Slice((0, 1, 1, 2), (0, 1, 1, 1))  # one value a channel
PLANE = Slice((1, 0, 0, 3), (1, 0, 0, 1))
ROW = Slice((1, 1, 2, 0), (1, 1, 1, 0))
NO, ALL = (False,) * 4, (False, True, True, True)


class TestArithmetic(OpContract):
    cases = (
        *(Case(Arithmetic(kind), SHAPE, channels, inputs=2) for kind in SYMBOLS for channels in (1, 3, 17)),
        *(Case(Arithmetic(kind, (NO, ALL)), SHAPE, 3, inputs=2, parts=(VALUES,)) for kind in SYMBOLS),
        Case(Arithmetic("mul"), SHAPE, 3, inputs=4),
        Case(Arithmetic("mul", (NO, ALL, (True, False, False, True))), SHAPE, 17, inputs=3, parts=(VALUES, PLANE)),
        Case(Arithmetic("add", (NO, (True, True, True, False))), SHAPE, 3, inputs=2, parts=(ROW,)),
        Case(Arithmetic("div", value=(3.0,)), SHAPE, 3),
        Case(Arithmetic("sub", value=(0.1, -2.0, 1e10)), SHAPE, 3),
    )


def run(stages, x, dtype="float32", **options):
    spec = {"volconv": 1, "dtype": dtype, "input": {"channels": x.shape[0]}, "stages": stages}
    return volconv.load(spec)(x, **options)


def test_what_is_spread():
    assert find_spread((HERE, HERE)) == ()
    assert find_spread((Wire((1, 5, 1), 3), HERE)) == ((False, True, False, True), NO)
    assert find_spread((Wire((1, 5, 19), 1), Wire((4, 5, 1), 2))) == (
        (True, True, False, False),
        (False, False, False, True),
    )


def test_a_spread_input_is_read_at_its_one_place():
    op = Arithmetic("mul", (NO, (False, True, False, True)))
    assert [read_interval(op, 1, axis, (2, 4)) for axis in range(3)] == [(0, 1), (2, 4), (0, 1)]
    assert read_interval(op, 0, 0, (2, 4)) == (2, 4)
    assert read_interval(op, 1, 0, (2, 2)) == (0, 0)


def test_sizes_have_to_fit():
    with pytest.raises(ShapeError, match="1 inputs, expected at least 2"):
        Arithmetic("mul").out_wire((HERE,))
    with pytest.raises(ShapeError, match="inputs of 3, 2 channels, expected as many in each, or 1"):
        Arithmetic("mul").out_wire((HERE, Wire(SHAPE, 2)))
    with pytest.raises(ShapeError, match=r"input 1 of 4 x 5 x 19 voxels and input 2 of 4 x 5 x 2.*or 1 along an axis"):
        Arithmetic("mul").out_wire((HERE, Wire((4, 5, 2), 3)))
    with pytest.raises(ShapeError, match="inputs spread over nothing, D, expected nothing"):
        Arithmetic("mul").out_wire((HERE, Wire((1, 5, 19), 3)))
    with pytest.raises(ShapeError, match="value of 2 numbers on 3 channels"):
        Arithmetic("div", value=(1.0, 2.0)).out_wire((HERE,))
    with pytest.raises(ShapeError, match="2 inputs beside a value"):
        Arithmetic("div", value=(1.0,)).out_wire((HERE, HERE))


def test_the_result_lies_where_the_inputs_do_that_are_not_spread():
    deep = Wire((4, 1, 19), 1, voxel_map=VoxelMap(offset=(0.25, 0.0, 0.0)), spacing_mm=(3.0, 9.0, 1.0), moves=2)
    flat = Wire((1, 5, 19), 2, voxel_map=VoxelMap(offset=(7.0, 0.5, 0.0)), spacing_mm=(8.0, 2.0, 1.0), moves=1)
    out = Arithmetic("sub", find_spread((deep, flat))).out_wire((deep, flat))
    assert (out.shape, out.channels, out.moves) == ((4, 5, 19), 2, 2)
    assert out.voxel_map.offset == (0.25, 0.5, 0.0)
    assert out.spacing_mm == (3.0, 2.0, 1.0)
    far = Wire((4, 5, 19), 1, voxel_map=VoxelMap(offset=(1.25, 0.0, 0.0)))
    with pytest.raises(ShapeError, match="voxels apart"):
        Arithmetic("sub", find_spread((deep, far))).out_wire((deep, far))


def test_a_gate_from_few_voxels_scales_every_channel():
    """Squeeze and excitation, as far as one channel's numbers go."""
    x = np.random.default_rng(0).standard_normal((20, *SHAPE)).astype("f4")
    gate = {"op": "Slice", "dim": [2, 3, 4], "start": [0, 1, 2], "end": [1, 2, 3], "name": "gate"}
    for order in (["input", "gate"], ["gate", "input"]):
        stages = [gate, {"op": "Mul", "inputs": order}, {"op": "ReLU"}]
        for tile in ("whole", (2, 3, 4)):
            expected = np.maximum(x * x[:, :1, 1:2, 2:3], 0)
            np.testing.assert_array_equal(run(stages, x, tile=tile), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SYMBOLS)
def test_a_result_is_rounded_once(kind):
    """The same numbers as NumPy's, one operation after the other."""
    x = np.random.default_rng(1).standard_normal((3, *SHAPE)).astype("f4")
    y = x * np.float32(0.3)
    stages = [{"op": "Mul", "value": 0.3, "name": "y"}, {"op": kind.capitalize(), "inputs": ["y", "input"]}]
    operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[kind]
    np.testing.assert_array_equal(run(stages, x), operation(y, x))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
@pytest.mark.parametrize("kind", SYMBOLS)
def test_halves_are_computed_in_float32_and_rounded_once(kind, name, dtype):
    x = np.random.default_rng(1).uniform(1, 2, (2, 3, 4, 5)).astype(dtype).astype("f4")
    stages = [{"op": "Affine", "scale": 0.7, "name": "y"}, {"op": kind.capitalize(), "inputs": ["input", "y"]}]
    y = (x * np.float32(0.7)).astype(dtype).astype("f4")
    operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[kind]
    np.testing.assert_array_equal(run(stages, x, name), operation(x, y).astype(dtype).astype("f4"))
