import numpy as np
import pytest

from volconv.errors import ShapeError
from volconv.geometry import Geometry
from volconv.ops.base import Wire
from volconv.ops.slice import Slice
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)


class TestSlice(OpContract):
    cases = (
        Case(Slice(), SHAPE, 3),
        Case(Slice((1, 0, 0, 0), (2, 0, 0, 0)), SHAPE, 17),
        Case(Slice((16, 0, 0, 0), (9, 0, 0, 0), (-2, 1, 1, 1)), SHAPE, 17),
        Case(Slice((0, 1, 2, 3), (0, 2, 0, 7), (1, 2, 1, 2)), SHAPE, 3),
        Case(Slice((0, 3, 4, 18), (0, 0, 0, 0), (1, -1, -2, -3)), SHAPE, 2),
    )


def test_steps_past_the_end_are_refused():
    wire = Wire(SHAPE, 3)
    with pytest.raises(ShapeError, match="start 5 along H of size 5, expected 0 to 4"):
        Slice((0, 0, 5, 0)).out_wire((wire,))
    with pytest.raises(ShapeError, match="3 places from 1 on in steps of 2 along H of size 5, expected at most 2"):
        Slice((0, 0, 1, 0), (0, 0, 3, 0), (1, 1, 2, 1)).out_wire((wire,))
    with pytest.raises(ShapeError, match="4 places from 2 on in steps of -1 along channels"):
        Slice((2, 0, 0, 0), (4, 0, 0, 0), (-1, 1, 1, 1)).out_wire((wire,))


def test_voxels_keep_their_place_in_the_world():
    affine = np.diag([2.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    whole = Geometry(affine, SHAPE)
    wire = Wire(SHAPE, 1, spacing_mm=whole.spacing_mm)
    out = Slice((0, 3, 1, 2), (0, 3, 0, 4), (1, -1, 2, 3)).out_wire((wire,))
    assert out.shape == (3, 2, 4)
    assert out.spacing_mm == (2.0, 6.0, 12.0)
    part = whole.moved(out.voxel_map, out.shape)
    for index in np.ndindex(out.shape):
        taken = (3 - index[0], 1 + 2 * index[1], 2 + 3 * index[2])
        np.testing.assert_allclose(part.affine @ (*index, 1), affine @ (*taken, 1))


def test_channels_alone_leave_the_grid():
    wire = Wire(SHAPE, 3)
    assert Slice((1, 0, 0, 0)).out_wire((wire,)) == wire.derived(SHAPE, 2)
    assert Slice((1, 0, 0, 0)).describe() == {"start": (1, 0, 0, 0)}
