"""The examples of the pages of the frameworks as they stand there, batches and all; modules alone have other names."""

from functools import partial

import numpy as np
import pytest

import volconv

RNG = np.random.default_rng(0)
M = {name: partial(getattr(volconv, name), dialect="megengine", init="default") for name in ("Conv2d", "Conv3d")}
M["ConvTranspose3d"] = partial(volconv.ConvTranspose3d, dialect="megengine", init="default")


def test_megengine_conv2d():
    m = M["Conv2d"](in_channels=3, out_channels=1, kernel_size=3)
    inp = np.arange(0, 96).astype("float32").reshape(2, 3, 4, 4)
    assert m(inp).shape == (2, 1, 2, 2)


def test_megengine_conv3d():
    m = M["Conv3d"](in_channels=3, out_channels=1, kernel_size=3)
    inp = np.arange(0, 384).astype("float32").reshape(2, 3, 4, 4, 4)
    assert m(inp).shape == (2, 1, 2, 2, 2)


def test_lucid_conv3d():
    conv3 = volconv.Conv3d(in_channels=1, out_channels=16, kernel_size=3, padding=1, dialect="lucid", init="default")
    x = np.zeros((2, 1, 16, 32, 32), "f4")  # (N, C, D, H, W)
    y = conv3(x)
    assert y.shape == (2, 16, 16, 32, 32)
    # Of zeros nothing is left but the bias.
    np.testing.assert_array_equal(y, np.broadcast_to(conv3.bias.reshape(1, -1, 1, 1, 1), y.shape))
    conv3_stride = volconv.Conv3d(16, 32, kernel_size=3, stride=2, padding=1, dialect="lucid", init="default")
    x = np.zeros((2, 16, 16, 32, 32), "f4")
    assert conv3_stride(x).shape == (2, 32, 8, 16, 16)


@pytest.mark.slow
def test_megengine_conv_transpose3d():
    """An output of one gigabyte."""
    conv_transpose = M["ConvTranspose3d"](3, 64, 3, stride=2, padding=1)
    x = RNG.standard_normal((16, 3, 32, 32, 32), "f4")
    output = conv_transpose(x)
    assert output.shape == (16, 64, 63, 63, 63)
    # Each volume of the batch by itself is the same.
    for n in (0, 15):
        np.testing.assert_array_equal(conv_transpose(x[n]), output[n])


@pytest.mark.slow
def test_pytorch_conv3d():
    """The page prints no shapes; those are what its formula gives."""
    x = RNG.standard_normal((20, 16, 10, 50, 100), "f4")
    # With square kernels and equal stride
    m = volconv.Conv3d(16, 33, 3, stride=2, init="default")
    output = m(x)
    assert output.shape == (20, 33, 4, 24, 49)
    np.testing.assert_array_equal(m(x[7]), output[7])
    # non-square kernels and unequal stride and with padding
    m = volconv.Conv3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0), init="default")
    output = m(x)
    assert output.shape == (20, 33, 8, 50, 99)
    np.testing.assert_array_equal(m(x[19]), output[19])
