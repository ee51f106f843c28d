"""Three-tap filters and the mean against scipy.ndimage."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from volconv.errors import SpecError

VOLUME = np.random.default_rng(2).normal(size=(7, 9, 8))


def correlate(taps):
    return ndi.correlate(VOLUME, taps, mode="nearest")


def test_laplacian_equals_scipy(filters):
    (taps,) = filters("laplacian")
    assert taps.shape == (3, 3, 3)
    np.testing.assert_allclose(correlate(taps), ndi.laplace(VOLUME, mode="nearest"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["sobel", "prewitt"])
def test_sobel_and_prewitt_equal_scipy_along_d_h_w(filters, name):
    taps = filters(name)
    assert taps.shape == (3, 3, 3, 3)
    for axis in range(3):
        expected = getattr(ndi, name)(VOLUME, axis, mode="nearest")
        np.testing.assert_allclose(correlate(taps[axis]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "laplacian"])
def test_in_two_dimensions_over_h_and_w(filters, name):
    taps = filters(name, ndim=2)
    plane = VOLUME[0]
    assert taps.shape == (1 if name == "laplacian" else 2, 3, 3)
    if name == "laplacian":
        expected = [ndi.laplace(plane, mode="nearest")]
    else:
        expected = [getattr(ndi, name)(plane, axis, mode="nearest") for axis in range(2)]
    for filtered, wanted in zip(taps, expected, strict=True):
        np.testing.assert_allclose(ndi.correlate(plane, filtered, mode="nearest"), wanted, rtol=0, atol=1e-12)


def test_gradient_is_the_central_difference_per_millimetre(filters):
    spacing = (3.0, 1.0, 0.5)
    taps = filters("gradient", spacing_mm=spacing)
    wanted = np.gradient(VOLUME, *spacing)
    inside = (slice(1, -1),) * 3
    for axis in range(3):
        np.testing.assert_allclose(correlate(taps[axis])[inside], wanted[axis][inside], rtol=0, atol=1e-12)


def test_gradient_is_per_voxel_where_spacing_is_unknown(filters):
    np.testing.assert_array_equal(filters("gradient"), filters("gradient", spacing_mm=(1, 1, 1)))


def test_gradient_in_two_dimensions_uses_the_spacing_of_h_and_w(filters):
    taps = filters("gradient", spacing_mm=(9.0, 2.0, 4.0), ndim=2)
    np.testing.assert_array_equal(taps[0][:, 1], [-0.25, 0, 0.25])
    np.testing.assert_array_equal(taps[1][1], [-0.125, 0, 0.125])
    assert taps.shape == (2, 3, 3)


@pytest.mark.parametrize("size", [1, 3, 5, [1, 3, 5], [3.0, 1, 1]])
def test_mean_equals_scipy(filters, size):
    (taps,) = filters("mean", size=size)
    sizes = [int(s) for s in np.broadcast_to(size, 3)]
    assert list(taps.shape) == sizes
    np.testing.assert_allclose(correlate(taps), ndi.uniform_filter(VOLUME, sizes, mode="nearest"), rtol=0, atol=1e-12)


def test_mean_has_three_voxels_by_default_and_takes_kernel_size_for_size(filters):
    assert filters("mean").shape == (1, 3, 3, 3)
    np.testing.assert_array_equal(filters("mean", kernel_size=5), filters("mean", size=5))


@pytest.mark.parametrize(
    ("size", "spacing", "voxels"),
    [("5mm", 1.0, 5), ("4mm", 1.0, 5), ("3.9mm", 1.0, 3), ("5mm", 3.0, 1), ("0.1mm", 3.0, 1), ("10mm", 0.7, 15)],
)
def test_millimetres_become_the_nearest_odd_number(filters, size, spacing, voxels):
    assert filters("mean", spacing_mm=(spacing,) * 3, size=size).shape == (1, voxels, voxels, voxels)


@pytest.mark.parametrize("size", [2, 4.0, 3.5, "2voxel", [3, 3, 2]])
def test_even_and_broken_sizes_are_errors(filters, size):
    with pytest.raises(SpecError, match="odd"):
        filters("mean", size=size)


@pytest.mark.parametrize("name", ["laplacian", "sobel", "prewitt", "gradient", "mean"])
def test_a_larger_kernel_size_adds_zeros(filters, name):
    values = {"size": 3} if name == "mean" else {}
    small, large = filters(name, **values), filters(name, kernel_size=[3, 5, 7], **values)
    assert large.shape[1:] == (3, 5, 7)
    np.testing.assert_array_equal(large[:, :, 1:-1, 2:-2], small)
    assert np.abs(large).sum() == pytest.approx(np.abs(small).sum())


@pytest.mark.parametrize("name", ["laplacian", "sobel", "prewitt", "gradient"])
@pytest.mark.parametrize(("size", "match"), [(1, "at least"), ([3, 1, 3], "at least"), (4, "odd"), (100001, "taps")])
def test_other_kernel_sizes_are_errors(filters, name, size, match):
    with pytest.raises(SpecError, match=match):
        filters(name, kernel_size=size)


def test_absurd_sizes_are_refused(filters):
    with pytest.raises(SpecError, match="taps"):
        filters("mean", size=1001)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (float("inf"), 1, 1)])
def test_a_spacing_that_is_none_is_an_error(filters, spacing):
    with pytest.raises(SpecError, match="spacing"):
        filters("gradient", spacing_mm=spacing)
