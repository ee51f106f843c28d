import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError
from volconv.geometry import VoxelMap
from volconv.ops.base import Wire
from volconv.ops.concat import Concat
from volconv.ops.slice import Slice
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)
HERE = Wire(SHAPE, 3)


class TestConcat(OpContract):
    cases = (
        *(Case(Concat(), SHAPE, channels, inputs=n) for channels, n in ((3, 2), (1, 3), (17, 5), (16, 2))),
        Case(Concat(), SHAPE, 5, inputs=3, parts=(Slice(size=(2, 0, 0, 0)), Slice((4, 0, 0, 0)))),
    )


def test_channels_follow_each_other():
    assert Concat().out_wire((HERE, Wire(SHAPE, 1), HERE)).channels == 7
    with pytest.raises(ShapeError, match="1 inputs, expected at least 2"):
        Concat().out_wire((HERE,))
    with pytest.raises(ShapeError, match=r"input 1 of 4 x 5 x 19 voxels and input 2 of 4 x 5 x 1, expected equal"):
        Concat().out_wire((HERE, Wire((4, 5, 1), 3)))


def test_the_result_lies_where_the_shortest_path_leads():
    moved = Wire(SHAPE, 2, voxel_map=VoxelMap(offset=(0.5, 0.0, 0.0)), moves=2)
    assert Concat().out_wire((moved, HERE)) == HERE.derived(SHAPE, 5)


@pytest.mark.parametrize("channels", [(16, 16), (16, 1), (3, 32), (24, 24), (1, 1), (17, 40)])
def test_between_convolutions_whatever_their_layouts(channels):
    """A skip connection: both ways end in one convolution, whose sums are those over the joined array."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 7, 20)).astype("f4")
    up, skip = channels
    random = {"weight": {"init": "default", "seed": 1}, "padding": "same"}
    stages = [
        {"op": "Conv3d", "name": "up", "out_channels": up, "kernel_size": 3, **random},
        {"op": "Conv3d", "name": "skip", "input": "input", "out_channels": skip, "kernel_size": 1, **random},
        {"op": "Concat", "name": "joined", "inputs": ["up", "skip"]},
        {"op": "Conv3d", "name": "out", "out_channels": 20, "kernel_size": 3, **random},
    ]
    spec = {"volconv": 1, "input": {"channels": 2}, "stages": stages, "outputs": ["up", "skip", "joined", "out"]}
    found = volconv.load(spec)(x)
    np.testing.assert_array_equal(found["joined"], np.concatenate([found["up"], found["skip"]]))
    alone = volconv.load({"volconv": 1, "input": {"channels": 2}, "stages": stages})
    for tile in ("whole", (2, 3, 7), (6, 7, 1)):
        assert alone(x, tile=tile).tobytes() == found["out"].tobytes(), tile
