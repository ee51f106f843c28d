"""Records travel in every format and come back."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from volconv.formats.nifti_extension import read_comments
from volconv.formats.open import open_sink
from volconv.formats.record import parse_record, read_record
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract

RECORD = '{"volconv": 1, "name": "\u00e4\u4e2d", "nested": {"a": [1, 2.5, null]}}'


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz", "out.hdr", "out.img", "out.h5"])
def test_what_is_written_is_read(tmp_path, name):
    info = replace(SinkContract.info(), record=RECORD)
    sink = open_sink(tmp_path / name, info, scratch=tmp_path / "scratch")
    sink.create()
    sink.write(Region.whole(info.shape), SinkContract.values(info))
    sink.finish()
    assert read_record(tmp_path / name) == {"volconv": 1, "name": "ä中", "nested": {"a": [1, 2.5, None]}}


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
@pytest.mark.parametrize("order", ["<", ">"])
def test_comments_are_nibabels(tmp_path, kind, order):
    header = kind.header_class(endianness=order)
    for code, text in ((6, b"a note"), (4, b"<AFNI/>"), (6, RECORD.encode()), (6, b"[1]")):
        header.extensions.append(Nifti1Extension(code, text))
    path = tmp_path / ("scan.hdr" if kind is nib.Nifti1Pair else "scan.nii")
    nib.save(kind(np.zeros((2, 2, 2), np.int16), np.eye(4), header), path)
    assert read_comments(path) == ["a note", RECORD, "[1]"]
    assert read_record(path)["volconv"] == 1


def test_none_is_none(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), path)
    assert read_record(path) is None


@pytest.mark.parametrize(
    "text", ["", "a note", "[1]", "3", "null", "[" * 100_000, '{"a": ' * 100_000, '{"a": 1', '{"a": 1}']
)
def test_what_is_no_record(text):
    assert parse_record(text) is None
