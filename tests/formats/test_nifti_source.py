"""NIfTI sources, held against nibabel."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import BudgetError, FormatError, MissingFileError, RunError, UsageError
from volconv.formats.nifti_source import NiftiSource
from volconv.region import Region
from volconv.testing.source_contract import SourceContract


def to_file_order(values, order):
    """(C, D, H, W) as the (x, y, z) or (x, y, z, c) array nibabel wants."""
    axes = (3, 2, 1, 0) if order == "kji" else (1, 2, 3, 0)
    out = values.transpose(axes)
    return out[..., 0] if out.shape[-1] == 1 else out


class NiftiSourceContract(SourceContract):
    suffix = ".nii"
    kind = nib.Nifti1Image

    def make_source(self, folder, values, order):
        image = self.kind(to_file_order(values, order), np.eye(4), dtype=values.dtype)
        path = folder / f"scan{self.suffix}"
        nib.save(image, path)
        return NiftiSource(path, order=order, channels=values.shape[0])


class TestNii(NiftiSourceContract):
    pass


class TestNiiGz(NiftiSourceContract):
    suffix = ".nii.gz"


class TestNifti2(NiftiSourceContract):
    kind = nib.Nifti2Image


class TestPair(NiftiSourceContract):
    suffix = ".hdr"
    kind = nib.Nifti1Pair


class TestPairByItsVoxels(NiftiSourceContract):
    suffix = ".img"
    kind = nib.Nifti2Pair


class TestGzippedPair(NiftiSourceContract):
    suffix = ".img.gz"
    kind = nib.Nifti1Pair

    def make_source(self, folder, values, order):
        plain = TestPair.make_source(self_of(".hdr", nib.Nifti1Pair), folder, values, order)
        plain.close()
        for half in (".hdr", ".img"):
            file = folder / f"scan{half}"
            (folder / f"scan{half}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        return NiftiSource(folder / "scan.hdr.gz", order=order, channels=values.shape[0])


def self_of(suffix, kind):
    maker = NiftiSourceContract()
    maker.suffix, maker.kind = suffix, kind
    return maker
