"""Gabor filters against the formula written out tap by tap."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import SpecError
from volconv.values import Values
from volconv.weights.generators import make_filters


def gabor_at(first, second, sigma, wavelength, gamma, theta):
    """The value at `first`, `second` (offsets along the plane's letters)."""
    u = math.cos(theta) * second + math.sin(theta) * first
    v = -math.sin(theta) * second + math.cos(theta) * first
    return cmath.exp(complex(-(u**2 + gamma**2 * v**2) / (2 * sigma**2), 2 * math.pi * u / wavelength))


@settings(max_examples=40, deadline=None)
@given(
    sigma=st.floats(0.3, 2),
    wavelength=st.floats(0.5, 10),
    gamma=st.floats(0.3, 3),
    theta=st.floats(-7, 7),
    plane=st.sampled_from(["dh", "dw", "hw"]),
    truncate=st.floats(0.5, 4),
)
def test_every_tap(sigma, wavelength, gamma, theta, plane, truncate):
    values = dict(sigma=sigma, wavelength=wavelength, gamma=gamma, theta=theta, plane=plane, truncate=truncate)
    taps = make_filters("gabor", Values(values), None)
    radius = int(truncate * sigma / min(1, gamma) + 0.5)
    across = {"dh": 2, "dw": 1, "hw": 0}[plane]
    shape = [2 * radius + 1] * 3
    shape[across] = 1
    assert taps.shape == (2, *shape)
    flat = np.squeeze(taps, 1 + across)
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            wanted = gabor_at(i, j, sigma, wavelength, gamma, theta)
            assert complex(*flat[:, i + radius, j + radius]) == pytest.approx(wanted, abs=1e-12)


def test_the_wave_runs_along_the_second_letter_by_default(filters):
    real, imaginary = filters("gabor", sigma=2, wavelength=4)[:, 0]
    middle = real.shape[0] // 2
    assert imaginary[middle, middle + 1] == pytest.approx(math.exp(-1 / 8))
    assert imaginary[middle + 1, middle] == 0
    assert real[middle, middle] == 1
    # gamma below 1: the envelope is longer across the wave than along it
    assert real[middle + 4, middle] > abs(real[middle, middle + 4])


def test_in_two_dimensions(filters):
    flat = filters("gabor", ndim=2, sigma=1.2, wavelength=3, theta=0.4)
    np.testing.assert_array_equal(flat, filters("gabor", sigma=1.2, wavelength=3, theta=0.4)[:, 0])
    with pytest.raises(SpecError, match="one of hw"):
        filters("gabor", ndim=2, sigma=1.2, wavelength=3, plane="dh")


def test_millimetres_on_an_uneven_grid_are_measured_along_each_axis(filters):
    spacing, theta = (5.0, 2.0, 0.5), 0.7
    taps = filters("gabor", spacing_mm=spacing, sigma="3mm", wavelength="4mm", theta=theta, truncate=2, gamma=1)[:, 0]
    radii = [int(2 * 3 / s + 0.5) for s in spacing[1:]]
    assert taps.shape == (2, 2 * radii[0] + 1, 2 * radii[1] + 1)
    for i in range(-radii[0], radii[0] + 1):
        for j in range(-radii[1], radii[1] + 1):
            wanted = gabor_at(2.0 * i, 0.5 * j, 3, 4, 1, theta)
            assert complex(*taps[:, i + radii[0], j + radii[1]]) == pytest.approx(wanted, abs=1e-12)


def test_kernel_size(filters):
    native = filters("gabor", sigma=1, wavelength=3)
    assert native.shape == (2, 1, 17, 17)
    cropped = filters("gabor", sigma=1, wavelength=3, kernel_size=[1, 5, 5])
    np.testing.assert_array_equal(cropped, native[:, :, 6:-6, 6:-6])
    listed = filters("gabor", sigma=1, wavelength=3, kernel_size=[3, 5, 7])
    np.testing.assert_array_equal(listed[:, 1], native[:, 0, 6:-6, 5:-5])
    assert not listed[:, [0, 2]].any()
    assert filters("gabor", sigma=1, wavelength=3, kernel_size=5).shape == (2, 5, 5, 5)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"sigma": 1}, "no wavelength"),
        ({"wavelength": 1}, "no sigma"),
        ({"sigma": 1, "wavelength": 0}, "greater than 0"),
        ({"sigma": 1, "wavelength": 3, "gamma": 0}, "greater than 0"),
        ({"sigma": 1, "wavelength": 3, "gamma": 1e-300}, "taps"),
        ({"sigma": 1, "wavelength": 3, "plane": "wh"}, "one of dh, dw, hw"),
        ({"sigma": 1, "wavelength": 3, "plane": 2}, "one of dh, dw, hw"),
        ({"sigma": 1, "wavelength": 3, "theta": "north"}, "a number"),
        ({"sigma": 5000, "wavelength": 3}, "taps"),
        ({"sigma": 1, "wavelength": 3, "kernel_size": 100001}, "taps"),
        ({"sigma": "1mm", "wavelength": 3}, "--spacing"),
    ],
)
def test_bad_values(filters, values, match):
    with pytest.raises(SpecError, match=match):
        filters("gabor", **values)
