"""Axes of NIfTI files: time, channels, and the turn between (d, h, w) and (i, j, k)."""

import numpy as np
import pytest

from volconv.errors import FormatError
from volconv.formats.nifti_axes import NiftiAxes, as_kji, read_axes, turn, turn_affine, turn_map, turn_region
from volconv.geometry import VoxelMap
from volconv.region import Region


@pytest.mark.parametrize(
    ("dims", "channels", "axes"),
    [
        ((4,), 1, NiftiAxes((4, 1, 1))),
        ((4, 5), 1, NiftiAxes((4, 5, 1))),
        ((4, 5, 6), 1, NiftiAxes((4, 5, 6))),
        ((4, 5, 6), 3, NiftiAxes((4, 5, 6))),
        ((4, 5, 6, 1, 1, 1, 1), 1, NiftiAxes((4, 5, 6))),
        ((4, 5, 6, 7), 1, NiftiAxes((4, 5, 6), batch=7, batch_step=1)),
        ((4, 5, 6, 7, 1), 1, NiftiAxes((4, 5, 6), batch=7, batch_step=1)),
        ((4, 5, 6, 7), 7, NiftiAxes((4, 5, 6), channels=7, channel_step=1)),
        ((4, 5, 6, 7), None, NiftiAxes((4, 5, 6), channels=7, channel_step=1)),
        ((4, 5, 6, 1, 3), 3, NiftiAxes((4, 5, 6), channels=3, channel_step=1, batch_step=1)),
        ((4, 5, 6, 1, 3), 1, NiftiAxes((4, 5, 6), channels=3, channel_step=1, batch_step=1)),
        ((4, 5, 6, 7, 3), 3, NiftiAxes((4, 5, 6), channels=3, batch=7, channel_step=7, batch_step=1)),
    ],
)
def test_what_axes_mean(dims, channels, axes):
    assert read_axes(dims, channels, "scan.nii") == axes


def test_another_number_of_volumes_names_both():
    with pytest.raises(FormatError, match="found 7 volumes, expected 3 channels"):
        read_axes((4, 5, 6, 7), 3, "scan.nii")


@pytest.mark.parametrize("dims", [(4, 5, 6, 1, 1, 2), (4, 5, 6, 7, 3, 1, 2)])
def test_more_than_five_axes(dims):
    with pytest.raises(FormatError, match=" x ".join(map(str, dims))):
        read_axes(dims, 1, "scan.nii")


@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_turning_twice_changes_nothing(order):
    assert turn(turn((1, 2, 3), order), order) == (1, 2, 3)
    affine = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(turn_affine(turn_affine(affine, order), order), affine)
    array = np.zeros((2, 3, 4))
    assert as_kji(as_kji(array, order), order).shape == (2, 3, 4)


@pytest.mark.parametrize(("order", "kji"), [("kji", (0, 1, 2)), ("ijk", (2, 1, 0))])
def test_boxes_and_arrays_turn_alike(order, kji):
    array = np.arange(60).reshape(3, 4, 5)
    region = Region((0, 1, 2), (2, 4, 5))
    turned = turn_region(region, order)
    assert turned.start == tuple(region.start[a] for a in kji)
    np.testing.assert_array_equal(as_kji(array[region.slices()], order), as_kji(array, order)[turned.slices()])


@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_maps_and_affines_turn_alike(order):
    voxel_map = VoxelMap((2.0, 3.0, 4.0), (0.5, -1.0, 7.0))
    affine = np.random.default_rng(0).normal(size=(4, 4))
    np.testing.assert_allclose(
        turn_affine(affine, order) @ voxel_map.matrix(), turn_affine(affine @ turn_map(voxel_map, order), order)
    )
