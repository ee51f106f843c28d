"""The oracles of the operators on shapes, against NumPy's and PyTorch's own."""

import numpy as np
import pytest

from volconv.kernels import naive_shapes


def volume(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def test_arithmetic_is_spread():
    x, y = volume(3, 4, 5, 6), volume(3, 1, 1, 1)
    np.testing.assert_array_equal(naive_shapes.arithmetic([x, y, x], "sub"), x - y - x)
    assert np.isinf(naive_shapes.arithmetic([x, 0.0 * y], "div")).all()


def test_take_goes_backwards():
    x = volume(3, 4, 5, 6)
    np.testing.assert_array_equal(
        naive_shapes.take(x, (1, 3, 0, 5), (2, 4, 2, 3), (1, -1, 2, -2)), x[1:, ::-1, :3:2, ::-2]
    )


def test_concat_keeps_the_order():
    x = volume(3, 4, 5, 6)
    np.testing.assert_array_equal(naive_shapes.concat([x[2:], x]), x[[2, 0, 1, 2]])


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_pad_as_torch_pads_and_crops(mode):
    torch = pytest.importorskip("torch")
    x = volume(2, 4, 5, 6)
    for low, high in (((0, 1, 2, 3), (0, 3, 0, 1)), ((0, -1, 2, -3), (0, 3, -2, 5)), ((0, -2, -2, 0), (0, -1, 4, -5))):
        amounts = [n for pair in zip(low[:0:-1], high[:0:-1], strict=True) for n in pair]
        value = {"value": 2.5} if mode == "constant" else {}
        theirs = torch.nn.functional.pad(torch.from_numpy(x)[None], amounts, mode=mode, **value)[0].numpy()
        np.testing.assert_array_equal(naive_shapes.pad(x, low, high, mode, 2.5), theirs)


def test_layer_norm_is_torchs():
    torch = pytest.importorskip("torch")
    x, (weight, bias) = volume(7, 4, 5, 6), volume(2, 7)
    layer = torch.nn.functional.layer_norm
    theirs = layer(torch.from_numpy(x).movedim(0, -1), (7,), *map(torch.from_numpy, (weight, bias)), eps=1e-3)
    found = naive_shapes.layer_norm(x, weight, bias, 1e-3)
    np.testing.assert_allclose(found, theirs.movedim(-1, 0).numpy(), atol=1e-12)
