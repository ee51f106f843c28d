"""The float64 twins against loops written out, scipy, and PyTorch where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive
from volconv.kernels.catalog import ACTIVATIONS

SCIPY_MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "grid-wrap"}
triples = st.tuples(*[st.integers(1, 3)] * 3)


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def by_loops(x, weight, stride, dilation, groups):
    """The definition of a grouped, strided, dilated cross-correlation, an output at a time."""
    outputs, inputs = weight.shape[:2]
    lengths = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[1:], weight.shape[2:], stride, dilation, strict=True)
    ]
    out = np.zeros((outputs, *lengths))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for place in itertools.product(*(range(n) for n in lengths)):
            for c, *tap in itertools.product(range(inputs), *(range(k) for k in weight.shape[2:])):
                at = tuple(p * s + t * d for p, s, t, d in zip(place, stride, tap, dilation, strict=True))
                out[o, *place] += x[first + c, *at] * weight[o, c, *tap]
    return out


def scattered(x, weight, stride, padding, output_padding, dilation, groups):
    """The definition of a transposed convolution: each input voxel adds to outputs, those outside are dropped."""
    inputs, outputs = weight.shape[:2]
    axes = zip(x.shape[1:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True)
    out = np.zeros((outputs * groups, *((n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, s, p, d, k, more in axes)))
    for c, *voxel in np.ndindex(*x.shape):
        for o, *tap in np.ndindex(outputs, *weight.shape[2:]):
            at = [i * s - p + t * d for i, s, p, t, d in zip(voxel, stride, padding, tap, dilation, strict=True)]
            if all(0 <= a < n for a, n in zip(at, out.shape[1:], strict=True)):
                out[c // (inputs // groups) * outputs + o, *at] += x[c, *voxel] * weight[c, o, *tap]
    return out


@settings(max_examples=25, deadline=None)
@given(triples, triples, triples, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
def test_conv3d_is_the_sum_written_out(kernel, stride, dilation, groups, inputs, outputs):
    size = [d * (k - 1) + 1 + extra for k, d, extra in zip(kernel, dilation, (2, 0, 3), strict=True)]
    x, weight = random(inputs * groups, *size), random(outputs * groups, inputs, *kernel)
    want = by_loops(x, weight, stride, dilation, groups)
    np.testing.assert_allclose(naive.conv3d(x, weight, None, stride, dilation, groups), want, atol=1e-12)


def test_conv3d_agrees_with_scipy():
    x, weight, bias = random(3, 9, 8, 7), random(2, 3, 3, 2, 4), np.array([0.5, -2.0])
    want = [sum(scipy.signal.correlate(x[c], weight[o, c], "valid") for c in range(3)) + bias[o] for o in range(2)]
    np.testing.assert_allclose(naive.conv3d(x, weight, bias), want, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(triples, triples, triples, st.tuples(*[st.integers(0, 2)] * 3), st.integers(1, 2), st.integers(1, 2))
def test_conv_transpose3d_is_the_scatter_written_out(kernel, stride, dilation, more, groups, outputs):
    padding = [min(d * (k - 1), 1) for d, k in zip(dilation, kernel, strict=True)]
    x, weight = random(2 * groups, 3, 2, 4), random(2 * groups, outputs, *kernel)
    want = scattered(x, weight, stride, padding, more, dilation, groups)
    got = naive.conv_transpose3d(x, weight, None, stride, padding, more, dilation, groups)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_conv_transpose3d_is_the_gradient_of_conv3d():
    x, weight = random(2, 6, 7, 8), random(3, 2, 3, 3, 2)
    y = random(3, 2, 2, 4, seed=1)
    forward = naive.conv3d(naive.pad(x, (1, 0, 2), (1, 0, 2)), weight, None, (3, 2, 3), (1, 2, 1))
    back = naive.conv_transpose3d(y, weight, None, (3, 2, 3), (1, 0, 2), (2, 0, 1), (1, 2, 1))
    assert np.sum(forward * y) == pytest.approx(np.sum(back * x))


def test_outputs_no_tap_reaches_are_the_bias():
    out = naive.conv_transpose3d(np.ones((1, 2, 2, 2)), np.ones((1, 1, 1, 1, 1)), [7.0], (3, 3, 3))
    assert (out == 7).sum() == 4**3 - 8
    assert (out == 8).sum() == 8


@pytest.mark.parametrize("mode", SCIPY_MODES)
def test_padding_agrees_with_scipy(mode):
    x = random(2, 5, 6, 7)
    kernel = random(5, 5, 5, seed=3)
    want = [scipy.ndimage.correlate(channel, kernel, mode=SCIPY_MODES[mode]) for channel in x]
    got = naive.conv3d(naive.pad(x, (2, 2, 2), (2, 2, 2), mode), np.tile(kernel, (2, 1, 1, 1, 1)), groups=2)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_padding_may_differ_on_both_sides():
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    assert naive.pad(x, (0, 0, 1), (0, 0, 3), "reflect").ravel().tolist() == [1, 0, 1, 2, 3, 2, 1, 0]
    assert naive.pad(x, (0, 0, 2), (0, 0, 0), "circular").ravel().tolist() == [2, 3, 0, 1, 2, 3]
    assert naive.pad(x, (0, 0, 0), (0, 0, 6), "replicate").ravel().tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]
    assert naive.pad(x, (1, 0, 0), (0, 1, 0), "zeros").shape == (1, 2, 2, 4)


@pytest.mark.parametrize(("mode", "width"), [("reflect", 4), ("circular", 5)])
def test_padding_wider_than_the_mode_allows_is_refused(mode, width):
    with pytest.raises(ValueError, match=mode):
        naive.pad(np.zeros((1, 4, 4, 4)), (0, 0, width), (0, 0, 0), mode)


def test_infinite_weights_in_the_padding():
    """0 times infinity is NaN; skipping the tap leaves the border finite."""
    weight = np.array([np.inf, 1.0, 0.0]).reshape(1, 1, 1, 1, 3)
    x = np.ones((1, 1, 1, 3))
    assert np.isnan(naive.conv3d(x, weight, padding=(0, 0, 1))[0, 0, 0, 0])
    skipped = naive.conv3d(x, weight, padding=(0, 0, 1), skip_outside=True)
    assert skipped.ravel().tolist() == [1, np.inf, np.inf]


def test_activations_agree_with_scipy():
    x = np.linspace(-30, 30, 4001)
    special = scipy.special
    want = {
        "gelu": x * special.ndtr(x),
        "sigmoid": special.expit(x),
        "silu": x * special.expit(x),
        "softplus": np.where(2 * x > 20, x, -special.log_expit(-2 * x) / 2),
        "selu": np.where(x > 0, x, special.expm1(x) * 1.6732632423543772) * 1.0507009873554805,
        "gelu_tanh": 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    }
    parameters = {"softplus": (2.0, 20.0)}
    for name, values in want.items():
        np.testing.assert_allclose(
            naive.activation(x, name, parameters.get(name, ())), values, rtol=1e-11, atol=1e-14, err_msg=name
        )


def test_every_activation_has_a_twin():
    for name, names in ACTIVATIONS.items():
        assert naive.activation(random(2, 3, 3, 3), name, [1.0] * len(names)).shape == (2, 3, 3, 3)


def test_prelu_and_affine_work_by_channel():
    x = np.array([[-2.0], [-2.0]])[:, :, None, None]
    assert naive.activation(x, "prelu", (), np.array([0.5, 3])).ravel().tolist() == [-1, -6]
    assert naive.affine(x, np.array([2, 3]), np.array([1, 0])).ravel().tolist() == [-3, -6]
    assert naive.affine(x, 2.0, 1.0).ravel().tolist() == [-3, -3]


def test_vector_norm():
    assert naive.vector_norm(np.array([3.0, 4.0]).reshape(2, 1, 1, 1)).tolist() == [[[[5.0]]]]


@pytest.mark.parametrize("mode", SCIPY_MODES)
def test_agrees_with_pytorch(mode):
    torch = pytest.importorskip("torch")
    x, weight, bias = random(4, 7, 8, 9), random(6, 2, 3, 2, 3), random(6)
    conv = torch.nn.Conv3d(4, 6, (3, 2, 3), (2, 1, 2), (2, 1, 0), (1, 2, 2), 2, True, mode, dtype=torch.float64)
    conv.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    padded = naive.pad(x, (2, 1, 0), (2, 1, 0), mode)
    got = naive.conv3d(padded, weight, bias, (2, 1, 2), (1, 2, 2), 2)
    np.testing.assert_allclose(got, conv(torch.from_numpy(x)).detach().numpy(), atol=1e-12)
    back_weight = random(4, 3, 3, 2, 3)
    want = torch.nn.functional.conv_transpose3d(
        *map(torch.from_numpy, (x, back_weight, bias)), (2, 3, 2), (1, 0, 2), (1, 2, 0), 2, (2, 1, 1)
    )
    got = naive.conv_transpose3d(x, back_weight, bias, (2, 3, 2), (1, 0, 2), (1, 2, 0), (2, 1, 1), 2)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-12)
