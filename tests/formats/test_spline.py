"""Taps of splines: they reproduce what they should, and know what lies outside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import spline_filter1d

from volconv.formats.spline import copy_taps, make_taps


def apply(taps, values):
    return (values[taps.indices] * taps.weights).sum(axis=1)


@pytest.mark.parametrize("order", range(6))
def test_a_spline_goes_through_the_values(order):
    values = np.random.default_rng(order).standard_normal(40)
    taps = make_taps(np.arange(40.0), 40, order)
    np.testing.assert_allclose(apply(taps, values), values, atol=1e-13)
    np.testing.assert_allclose(taps.weights.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("order", range(2, 6))
def test_coefficients_are_those_of_the_recursive_filter(order):
    values = np.random.default_rng(order).standard_normal(300)
    coefficients = spline_filter1d(values, order, mode="mirror", output=np.float64)
    places = np.linspace(140, 150, 33)
    first = np.floor(places + (0 if order % 2 else 0.5)).astype(int) - order // 2
    from scipy.interpolate import BSpline

    basis = BSpline.basis_element(np.arange(order + 2) - (order + 1) / 2, extrapolate=False)
    expected = sum(np.nan_to_num(basis(places - (first + k))) * coefficients[first + k] for k in range(order + 1))
    np.testing.assert_allclose(apply(make_taps(places, 300, order), values), expected, atol=1e-13)


def test_outside_is_more_than_half_a_voxel_away():
    taps = make_taps(np.array([-0.6, -0.5, 0, 4.5, 4.6]), 5, 1)
    assert taps.outside.tolist() == [True, False, False, False, True]
    assert not copy_taps(3).outside.any()
