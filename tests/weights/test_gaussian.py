"""The Gaussian family against scipy.ndimage."""

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import SpecError
from volconv.values import Values
from volconv.weights.generators import make_filters

RNG = np.random.default_rng(1)
VOLUME = RNG.normal(size=(11, 13, 12))
SLICE = RNG.normal(size=(17, 15))


def correlate(taps, volume=VOLUME):
    return ndi.correlate(volume, taps, mode="nearest")


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("sigma", [0.3, 1, 1.7, [0.5, 1.2, 2.5]])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4, [1, 0, 2], [0, 3, 1]])
@pytest.mark.parametrize("truncate", [4.0, 2.3])
def test_gaussian_equals_scipy(filters, sigma, order, truncate):
    (taps,) = filters("gaussian", sigma=sigma, order=order, truncate=truncate)
    close(correlate(taps), ndi.gaussian_filter(VOLUME, sigma, order=order, mode="nearest", truncate=truncate))


@settings(max_examples=30, deadline=None)
@given(
    sigma=st.lists(st.floats(0.05, 2.0), min_size=3, max_size=3),
    order=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    truncate=st.floats(0, 5),
)
def test_gaussian_equals_scipy_everywhere(sigma, order, truncate):
    volume = VOLUME[:6, :6, :6]
    values = Values({"sigma": sigma, "order": order, "truncate": truncate})
    (taps,) = make_filters("gaussian", values, None)
    expected = ndi.gaussian_filter(volume, sigma, order=order, mode="nearest", truncate=truncate)
    scale = max(1.0, np.abs(taps).sum() * np.abs(volume).max())
    np.testing.assert_allclose(correlate(taps, volume), expected, rtol=0, atol=1e-12 * scale)


def test_in_two_dimensions(filters):
    close(
        correlate(filters("gaussian", ndim=2, sigma=[0.8, 1.5], order=[0, 1])[0], SLICE),
        ndi.gaussian_filter(SLICE, [0.8, 1.5], order=[0, 1], mode="nearest"),
    )
    close(correlate(filters("log", ndim=2, sigma=1.1)[0], SLICE), ndi.gaussian_laplace(SLICE, 1.1, mode="nearest"))


@pytest.mark.parametrize("sigma", [0.6, 1.5, [0.7, 1.0, 1.9]])
def test_log_equals_scipy(filters, sigma):
    close(correlate(filters("log", sigma=sigma)[0]), ndi.gaussian_laplace(VOLUME, sigma, mode="nearest"))


@pytest.mark.parametrize("ratio", [1.6, 2, 0.5])
def test_dog_is_the_difference_of_two_gaussians(filters, ratio):
    expected = ndi.gaussian_filter(VOLUME, 1.2, mode="nearest") - ndi.gaussian_filter(
        VOLUME, 1.2 * ratio, mode="nearest"
    )
    close(correlate(filters("dog", sigma=1.2, ratio=ratio)[0]), expected)


def test_dog_has_the_radius_of_the_wider(filters):
    assert filters("dog", sigma=1.0, ratio=1.6).shape == (1, 13, 13, 13)


@pytest.mark.parametrize("amount", [0.0, 1.0, 2.5, -1])
def test_unsharp(filters, amount):
    expected = (1 + amount) * VOLUME - amount * ndi.gaussian_filter(VOLUME, 1.3, mode="nearest")
    close(correlate(filters("unsharp", sigma=1.3, amount=amount)[0]), expected)


def test_millimetres_are_divided_by_each_axis_spacing(filters):
    taps = filters("gaussian", spacing_mm=(3.0, 1.0, 0.5), sigma="2mm")
    np.testing.assert_array_equal(taps, filters("gaussian", sigma=[2 / 3, 2.0, 4.0]))
    mixed = filters("gaussian", spacing_mm=(3.0, 1.0, 0.5), sigma=["6mm", 2, "1voxel"])
    np.testing.assert_array_equal(mixed, filters("gaussian", sigma=[2.0, 2.0, 1.0]))
    flat = filters("gaussian", spacing_mm=(3.0, 1.0, 0.5), ndim=2, sigma="2mm")
    np.testing.assert_array_equal(flat, filters("gaussian", ndim=2, sigma=[2.0, 4.0]))


@pytest.mark.parametrize("size", [1, 3, 9, [1, 3, 5]])
def test_kernel_size_replaces_truncate(filters, size):
    radius = np.broadcast_to(size, 3) // 2
    (taps,) = filters("gaussian", sigma=1.5, kernel_size=size)
    assert taps.shape == tuple(2 * radius + 1)
    assert taps.sum() == pytest.approx(1, abs=1e-14)
    close(correlate(taps), ndi.gaussian_filter(VOLUME, 1.5, mode="nearest", radius=tuple(radius)))


def test_a_vanishing_sigma_is_the_identity(filters):
    np.testing.assert_array_equal(filters("gaussian", sigma=1e-9), np.ones((1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"sigma": 0}, "greater than 0"),
        ({"sigma": -1.5}, "greater than 0"),
        ({"sigma": "0mm"}, "greater than 0"),
        ({"sigma": 1e-16}, "1e-15"),
        ({"sigma": [1, 2]}, "list of 3"),
        ({"sigma": "wide"}, "length such as"),
        ({"sigma": True}, "a number"),
        ({"sigma": float("nan")}, "finite"),
        ({"sigma": None}, "found nothing"),
        ({"sigma": 1, "order": -1}, "at least 0"),
        ({"sigma": 1, "order": 1.5}, "whole number"),
        ({"sigma": 1, "order": 11}, "at most"),
        ({"sigma": 1, "order": [1, 2]}, "list of 3"),
        ({"sigma": 1, "truncate": -1}, "at least 0"),
        ({"sigma": 1, "kernel_size": 4}, "odd"),
        ({"sigma": 1, "kernel_size": 2.5}, "odd"),
        ({"sigma": 1, "kernel_size": [3, 3, 4]}, "odd"),
        ({"sigma": 1, "kernel_size": 0}, "greater than 0"),
        ({"sigma": "2mm"}, "--spacing"),
        ({}, "no sigma"),
    ],
)
def test_bad_values_say_where_and_what(filters, values, match):
    with pytest.raises(SpecError, match=match) as caught:
        filters("gaussian", **values)
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("spec.yaml: line 3")


@pytest.mark.parametrize("name", ["gaussian", "log", "dog", "unsharp"])
@pytest.mark.parametrize(
    "values",
    [
        {"sigma": 100},
        {"sigma": 1e300},
        {"sigma": 1, "truncate": 1e12},
        {"sigma": 1, "truncate": 1e308},
        {"sigma": 1, "kernel_size": 100001},
        {"sigma": 1, "kernel_size": 2.0**60 + 1},
    ],
)
def test_absurd_sizes_are_refused_before_they_are_allocated(filters, name, values):
    with pytest.raises(SpecError, match=r"taps|odd"):
        filters(name, **values)


def test_taps_that_overflow_are_refused(filters):
    with pytest.raises(SpecError, match="overflow"):
        filters("gaussian", sigma=2e-15, order=10)
