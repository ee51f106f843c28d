"""Swapped and flipped volumes against nibabel's orientation code."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from volconv.errors import FormatError
from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.orientation import Turn, find_turn
from volconv.formats.reoriented import ReorientedSink, ReorientedSource
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.testing.source_contract import SourceContract
from volconv.volume import OutputInfo

from .files import write_nifti

TURNS = [Turn(), Turn((2, 0, 1), (True, False, True)), Turn((0, 2, 1), (False, True, False)), Turn((1, 2, 0))]
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, -0.1, 0.15) @ np.diag([-0.9, 1.1, 2.5])[:, [2, 0, 1]], [12.0, -30.0, 5.0]
)


def back(values: np.ndarray, turn: Turn) -> np.ndarray:
    """Return what `turn` makes `values` (C, D, H, W) of."""
    return np.ascontiguousarray(turn.array(values))


class TestReoriented(SourceContract):
    """The file holds what is `values` only after the turn."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> ReorientedSource:
        path = write_nifti(folder / "v.nii", back(values, TURNS[1]), order)
        return ReorientedSource(NiftiSource(path, order=order, channels=len(values)), TURNS[1])


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_and_its_inverse(turn: Turn) -> None:
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(back(back(values, turn), turn.inverse()), values)
    assert turn.inverse().inverse() == turn
    assert turn.inverse().shape(turn.shape((3, 4, 5))) == (3, 4, 5)
    assert back(values, turn).shape[1:] == turn.inverse().shape((3, 4, 5))


@pytest.mark.parametrize("turn", TURNS)
def test_a_sink_takes_turned_values_in_any_windows(turn: Turn) -> None:
    scan = np.arange(2 * 5 * 6 * 7, dtype=np.float32).reshape(2, 5, 6, 7)
    turned = back(scan, turn.inverse())
    own = ArraySink(OutputInfo((5, 6, 7), 2, np.dtype("f4"), ArraySource(scan).info))
    sink = ReorientedSink(own, turn)
    sink.create()
    for region in Region.whole(turned.shape[1:]).split((2, 3, 4)):
        sink.write(region, turned[:, *region.slices()])
    sink.finish()
    np.testing.assert_array_equal(own.array, scan)


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR", "IPL", "PIR"])
def test_the_orientation_is_nibabels(tmp_path: Path, codes: str, axes: str) -> None:
    data = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    image = nib.Nifti1Image(data, OBLIQUE)
    image.set_qform(OBLIQUE, 1)
    nib.save(image, tmp_path / "v.nii")
    scan = NiftiSource(tmp_path / "v.nii", order=axes)
    scan.load(None)
    turn = find_turn(scan.info.geometry, codes, axes, "v.nii")
    source = ReorientedSource(scan, turn)
    out = np.empty((1, *source.info.shape), np.float32)
    source.read(Region.whole(source.info.shape), out)
    expected = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))
    found = out[0] if axes == "ijk" else out[0].transpose(2, 1, 0)
    np.testing.assert_array_equal(found, expected.get_fdata(dtype=np.float32))
    affine = source.info.geometry.affine
    assert affine is not None
    columns = [0, 1, 2, 3] if axes == "ijk" else [2, 1, 0, 3]
    np.testing.assert_allclose(affine[:, columns], expected.affine, atol=1e-4)


def test_a_volume_without_place_cannot_be_turned() -> None:
    with pytest.raises(FormatError, match=r"v.h5: does not say which way its axes point"):
        find_turn(Geometry(None, (1, 2, 3)), "RAS", "kji", "v.h5")


def test_a_turn_tells_what_it_does() -> None:
    assert str(Turn()) == "as it is"
    assert str(Turn((0, 2, 1), (False, True, False))) == "W becomes H, H becomes W, H flipped"
