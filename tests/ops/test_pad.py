import numpy as np
import pytest

from volconv.errors import ShapeError
from volconv.geometry import Geometry
from volconv.ops.base import Wire
from volconv.ops.pad import PAD_MODES, Pad
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)


class TestPad(OpContract):
    cases = (
        *(Case(Pad((0, 1, 2, 3), (0, 3, 0, 18), mode), SHAPE, c) for mode in PAD_MODES for c in (1, 3, 17)),
        *(Case(Pad((0, -1, 2, -3), (0, 3, -2, 0), mode), SHAPE, 3) for mode in PAD_MODES[:3]),
        Case(Pad((2, 0, 0, 1), (1, 0, 4, 0), value=-1.1), SHAPE, 3),
        Case(Pad((-1, 0, 0, 0), (5, 0, 0, 0), value=2.0), SHAPE, 17),
        Case(Pad((0, 0, 0, 0), (0, 0, 0, 0)), SHAPE, 3),
        Case(Pad((0, 30, 0, 40), (0, 0, 50, 0), "replicate"), SHAPE, 1),
        Case(Pad((0, 4, 5, 19), (0, 4, 5, 19), "circular"), SHAPE, 1),
        Case(Pad((0, -4, 0, 0), (0, 6, 0, 0), value=3.0), SHAPE, 1),
    )

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_every_tile_gives_the_bits_of_the_whole(self, dtype):
        super().test_every_tile_gives_the_bits_of_the_whole(dtype)


def test_limits_of_the_modes():
    wire = Wire(SHAPE, 3)
    with pytest.raises(ShapeError, match="reflect padding of 4 along D on a size of 4, expected at most 3"):
        Pad((0, 4, 0, 0), (0, 0, 0, 0), "reflect").out_wire((wire,))
    with pytest.raises(ShapeError, match="circular padding of 6 along H on a size of 5, expected at most 5"):
        Pad((0, 0, 0, 0), (0, 0, 6, 0), "circular").out_wire((wire,))
    with pytest.raises(ShapeError, match="replicate padding of channels, expected constant"):
        Pad((1, 0, 0, 0), (0, 0, 0, 0), "replicate").out_wire((wire,))
    with pytest.raises(ShapeError, match="padding of -3 and -2 along H on a size of 5, expected no more taken off"):
        Pad((0, 0, -3, 0), (0, 0, -2, 0)).out_wire((wire,))


def test_voxels_keep_their_place_in_the_world():
    affine = np.diag([2.0, -3.0, 4.0, 1.0])
    whole = Geometry(affine, SHAPE)
    out = Pad((0, 1, -2, 3), (0, 0, 1, 2)).out_wire((Wire(SHAPE, 1, spacing_mm=whole.spacing_mm),))
    assert out.shape == (5, 4, 24)
    assert out.spacing_mm == whole.spacing_mm
    wide = whole.moved(out.voxel_map, out.shape)
    np.testing.assert_allclose(wide.affine @ (1, -2, 3, 1), affine @ (0, 0, 0, 1))


def test_the_high_end_alone_and_channels_leave_the_grid():
    wire = Wire(SHAPE, 3)
    assert Pad((2, 0, 0, 0), (0, 1, 0, 0)).out_wire((wire,)) == wire.derived((5, 5, 19), 5)
