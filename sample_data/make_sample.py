"""Makes `t1_2mm.nii.gz` from the 1 mm template that the nilearn wheel carries.

    pip download --no-deps nilearn
    python sample_data/make_sample.py nilearn-*.whl sample_data/t1_2mm.nii.gz

Each voxel is the mean of a block of 2x2x2, rounded half to even; odd axes are filled up with zeros at their high end.
The affine is moved by half an input voxel, so the head's centre of mass in millimetres stays where it was.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from zipfile import ZipFile

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

MEMBER = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
FACTOR = 2
MNI_152 = 4
"""The NIfTI form code for coordinates of the MNI 152 template."""


def reduce_blocks(voxels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the mean of each block of `factor` voxels a side, as uint8."""
    padded = np.pad(voxels, [(0, -n % factor) for n in voxels.shape])
    i, j, k = (n // factor for n in padded.shape)
    blocks = padded.reshape(i, factor, j, factor, k, factor)
    return np.rint(blocks.mean(axis=(1, 3, 5), dtype=np.float64)).astype(np.uint8)


def reduce_affine(affine: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return the affine of the reduced grid: its voxel 0 sits in the middle of the first block."""
    step = np.diag([factor, factor, factor, 1.0])
    step[:3, 3] = (factor - 1) / 2
    return affine @ step


def make_sample(template: bytes) -> bytes:
    """Return the reduced scan, a gzipped NIfTI-1 file, from the bytes of the template's.

    The gzip header holds neither time nor name, so equal inputs give equal bytes.
    """
    scan = nib.Nifti1Image.from_bytes(gzip.decompress(template))
    image = nib.Nifti1Image(reduce_blocks(np.asarray(scan.dataobj), FACTOR), reduce_affine(scan.affine, FACTOR))
    image.set_sform(image.affine, MNI_152)
    image.set_qform(image.affine, MNI_152)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"MNI ICBM152 2009a T1, 2 mm block mean"
    return gzip.compress(image.to_bytes(), compresslevel=9, mtime=0)


def main() -> None:
    """Write the scan: first argument the wheel, second the file."""
    wheel, target = map(Path, sys.argv[1:])
    with ZipFile(wheel) as archive:
        target.write_bytes(make_sample(archive.read(MEMBER)))


if __name__ == "__main__":
    main()
