"""NIfTI sinks, held against nibabel."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import BudgetError, OutputError, UsageError
from volconv.formats.names import parse_volume_name
from volconv.formats.nifti_sink import open_nifti_sink
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.record import read_record
from volconv.geometry import Geometry, VoxelMap
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.volume import OutputInfo, VolumeInfo


def open_sink(path, info, *, force=False, channels="4d", threads=1):
    scratch = path.parent / "scratch"
    return open_nifti_sink(
        parse_volume_name(path), info, scratch=scratch, force=force, channels=channels, threads=threads
    )


def from_file_order(array, info):
    """An (x, y, z[, c]) array as (C, D, H, W)."""
    array = array.reshape(*array.shape[:3], -1)
    return array.transpose((3, 2, 1, 0) if info.origin.axes == "kji" else (3, 0, 1, 2))


class NiftiSinkContract(SinkContract):
    suffix = ".nii"
    threads = 1

    def make_sink(self, folder, info, force=False):
        return open_sink(folder / f"out{self.suffix}", info, force=force, threads=self.threads)

    def outputs(self, folder):
        return [folder / f"out{self.suffix}"]

    def read_back(self, folder, sink):
        image = nib.load(folder / f"out{self.suffix}")
        assert image.get_data_dtype() == sink.info.dtype
        return from_file_order(np.asanyarray(image.dataobj), sink.info)


class TestNii(NiftiSinkContract):
    pass


class TestNiiGz(NiftiSinkContract):
    suffix = ".nii.gz"


class TestNiiGzThreads(NiftiSinkContract):
    suffix = ".nii.gz"
    threads = 3


class TestPair(NiftiSinkContract):
    suffix = ".hdr"

    def outputs(self, folder):
        return [folder / "out.hdr", folder / "out.img"]


class TestSplit(NiftiSinkContract):
    suffix = ".nii.gz"

    def make_sink(self, folder, info, force=False):
        return open_sink(folder / "out.nii.gz", info, force=force, channels="split")

    def outputs(self, folder):
        return sorted(folder.glob("out*.nii.gz")) or [folder / "out.nii.gz"]

    def read_back(self, folder, sink):
        parts = [np.asanyarray(nib.load(path).dataobj) for path in sink.paths]
        return np.concatenate([from_file_order(part, sink.info) for part in parts])
