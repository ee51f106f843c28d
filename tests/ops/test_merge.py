import pytest

from volconv.errors import ShapeError
from volconv.geometry import VoxelMap
from volconv.ops.base import Wire
from volconv.ops.merge import describe_place, merge_wires, voxels_apart

SHAPE = (4, 5, 9)


def wire(scale=(1.0, 1.0, 1.0), offset=(0.0, 0.0, 0.0), moves=0):
    return Wire(SHAPE, 1, voxel_map=VoxelMap(scale, offset), moves=moves)


def test_how_far_apart_counts_voxels_of_the_first_at_the_far_end_too():
    assert voxels_apart(wire(), wire()) == 0
    assert voxels_apart(wire((2.0, 2.0, 2.0)), wire((2.0, 2.0, 2.0), (0.0, 1.0, -0.5))) == 0.5
    assert voxels_apart(wire(), wire((1.0, 1.0, 1.25))) == 2
    assert voxels_apart(wire((1.0, 1.0, 1.25)), wire()) == pytest.approx(1.6)
    # further off at the near end than at the far one
    assert voxels_apart(wire(), wire((1.0, 1.0, 1.25), (0.0, 0.0, -3.0))) == 3


def test_rounding_is_no_difference():
    seventh = wire((7 * (1 / 7), 1.0, 49 * (1 / 49)), moves=2)
    assert merge_wires([seventh, wire()]) == wire()
    assert voxels_apart(wire(), seventh) < 1e-12


def test_the_path_with_the_fewest_changes_of_grid_says_where_the_result_lies():
    near, far, other = wire(moves=1), wire(offset=(0.5, 0.0, 0.0), moves=3), wire(offset=(0.0, 0.25, 0.0), moves=1)
    assert merge_wires([far, near, other]) is near
    assert merge_wires([other, far, near]) is other


def test_a_voxel_apart_is_too_far():
    merge_wires([wire(), wire(offset=(0.0, -0.999, 0.0))])
    with pytest.raises(ShapeError, match=r"input 1 starts at voxel \(0, 0, 0\).* and input 2 .*\(0, -1, 0\)"):
        merge_wires([wire(), wire(offset=(0.0, -1.0, 0.0))])


def test_steps_are_said_where_they_are_not_one():
    assert describe_place(wire()) == "starts at voxel (0, 0, 0) of the volume"
    assert describe_place(wire((2.0, 1.0, 1.0), (0.5, 0.0, 0.0))).endswith(
        "(0.5, 0, 0) of the volume in steps of (2, 1, 1)"
    )


def test_a_length_of_one_fits_every_other_where_inputs_are_spread():
    whole, value = wire(moves=3), Wire((1, 1, 1), 2, voxel_map=VoxelMap((4.0, 5.0, 9.0), (90.0, 0.0, 0.0)), moves=1)
    assert merge_wires([value, whole], broadcast=True) is whole
    with pytest.raises(ShapeError, match="expected equal sizes, which"):
        merge_wires([value, whole])
    with pytest.raises(ShapeError, match=r"b of 4 x 5 x 9 voxels and c of 1 x 1 x 8, expected .*or 1 along an axis"):
        merge_wires([value, whole, Wire((1, 1, 8), 1)], "abc", broadcast=True)
    with pytest.raises(ShapeError, match="one type"):
        merge_wires([whole, Wire((1, 1, 1), 1, "float64")], broadcast=True)


def test_axes_turned_round_are_as_far_apart_as_they_are():
    turned = wire((1.0, 1.0, -1.0), (0.0, 0.0, 8.0))
    assert voxels_apart(turned, turned) == 0
    assert voxels_apart(wire(), turned) == voxels_apart(turned, wire()) == 8
