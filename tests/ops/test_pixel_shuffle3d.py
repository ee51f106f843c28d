import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError
from volconv.ops.base import Wire
from volconv.ops.pixel_shuffle3d import PixelShuffle3d
from volconv.testing.op_contract import Case, OpContract


class TestPixelShuffle3d(OpContract):
    cases = (
        Case(PixelShuffle3d((2, 2, 2)), (3, 4, 11), 16),
        Case(PixelShuffle3d((1, 3, 2)), (3, 4, 11), 6),
        Case(PixelShuffle3d((2, 1, 3), phase_first=True), (3, 4, 11), 12),
        Case(PixelShuffle3d((1, 1, 1)), (3, 4, 5), 2),
    )


def test_channels_have_to_fill_blocks():
    with pytest.raises(ShapeError, match="input of 6 channels, expected a multiple of 8"):
        PixelShuffle3d((2, 2, 2)).out_wire((Wire((2, 2, 2), 6),))


def pipeline(stage, channels, dialect="torch"):
    return volconv.load({"volconv": 1, "dialect": dialect, "input": {"channels": channels}, "stages": [stage]})


@pytest.mark.parametrize("dialect", ["torch", "lucid", "megengine", "onnx"])
def test_channels_go_where_the_formula_says(dialect):
    x = np.random.default_rng(0).standard_normal((24, 2, 3, 4)).astype("f4")
    found = pipeline({"op": "PixelShuffle3d", "upscale_factor": [2, 3, 2]}, 24, dialect)(x, tile=(1, 2, 3))
    for c, z, y, v in np.ndindex(found.shape):
        i, j, k = z % 2, y % 3, v % 2
        assert found[c, z, y, v] == x[((c * 2 + i) * 3 + j) * 2 + k, z // 2, y // 3, v // 2]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_slices_as_torch(factor):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2 * factor**2, 3, 5, 6)).astype("f4")
    found = pipeline({"op": "PixelShuffle", "upscale_factor": factor}, len(x))(x, tile=(2, 3, 5))
    expected = torch.nn.PixelShuffle(factor)(torch.from_numpy(x).transpose(0, 1)).transpose(0, 1)
    np.testing.assert_array_equal(found, expected.numpy())


def test_after_a_convolution_of_many_channels():
    """Channels that lie side by side are read where they lie."""
    stages = [
        {"op": "Conv3d", "out_channels": 32, "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 0}},
        {"op": "PixelShuffle3d", "upscale_factor": 2},
    ]
    x = np.random.default_rng(0).standard_normal((16, 5, 6, 7)).astype("f4")
    spec = {"volconv": 1, "input": {"channels": 16}, "stages": stages}
    both = volconv.load(spec)(x, tile=(3, 5, 4))
    first = volconv.load({**spec, "stages": stages[:1]})(x)
    np.testing.assert_array_equal(both, pipeline(stages[1], 32)(first))
