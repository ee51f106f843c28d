"""A good file of every kind that is read, and how all of it is read: what mutations are made of."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np

from tests.weights import pickle_cases
from tests.weights.conftest import WRITERS
from tests.weights.test_lucid import STATE, lucid_bytes
from volconv.api.check import check
from volconv.api.convert import convert
from volconv.api.streaming import load_in_memory
from volconv.formats.open import open_source
from volconv.formats.record import read_record
from volconv.region import Region
from volconv.weights.store import open_weights

SECRET = "Doe^Jane 1971"
"""Stands wherever a header has free text; no message may hold it."""

SHAPE = (9, 8, 7)
MOST_BYTES = 1 << 24
"""What a damaged header may ask to be read; a run weighs it against its memory budget instead."""

SPEC = """\
volconv: 1
name: edges
description: a spec to be damaged
parameters:
  sigma: {default: 2, min: 0.5, max: 10, help: width}
input: {channels: 1, axes: kji}
stages:
  - {op: Conv3d, name: smooth, kernel_size: [3, 5, 3], padding: same, weight: {generator: gaussian, sigma: $sigma}}
  - {op: Conv3d, name: conv, out_channels: 4, kernel_size: 3, stride: [2, 1, 2], weight: {init: default, seed: 1}}
  - {op: LeakyReLU, name: act, negative_slope: 0.1}
  - {op: MaxPool3d, name: pool, input: act, kernel_size: 2}
  - {op: Conv3d, name: out, in_channels: 4, kernel_size: 1, weight: [[[[[1.0]]], [[[2]]], [[[-3]]], [[[4e-1]]]]]}
outputs: [out]
"""


@dataclass(frozen=True)
class Carrier:
    """A kind of file.

    Attributes
    ----------
    suffix : str
        Of its name.
    make : callable
        Writes the good file at a path.
    read : callable
        Returns all there is in a file, as something that compares and says `repr`.
    sealed : bool
        Whether checksums cover all of it, so that damage is never read as something else.
    """

    suffix: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    sealed: bool = False


def values() -> np.ndarray:
    """Return voxels that compress, but not to nothing."""
    z, y, x = np.indices(SHAPE)
    return (40 * z + 7 * y + x + np.random.default_rng(1).integers(0, 4, SHAPE)).astype("i2")


def make_nifti(path: Path) -> None:
    image = nib.Nifti1Image(values(), np.array([[2, 0, 0.5, -9], [0, 3, 0, 4], [-0.5, 0, 2, 1], [0, 0, 0, 1.0]]))
    image.header["descrip"] = SECRET.encode()
    image.header["aux_file"] = SECRET.encode()
    image.header["intent_name"] = SECRET.encode()
    note = json.dumps({"patient": SECRET}).encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", note))
    nib.save(image, path)


def make_output(path: Path) -> None:
    """Write the volume as this package writes it."""
    scan = path.with_name("scan.nii")
    make_nifti(scan)
    convert(scan, path)
    scan.unlink()


def make_foreign_hdf5(path: Path) -> None:
    """Write the volume as h5py does when nothing is asked of it, with chunks and attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["patient"] = SECRET
        data = file.create_dataset("group/raw", data=values(), chunks=(4, 4, 4), compression="gzip", shuffle=True)
        data.attrs["axes"] = "zyx"
        data.attrs["affine"] = np.diag([2.0, 3, 4, 1])
        file["link"] = h5py.SoftLink("/group/raw")


def read_volume(path: Path) -> Any:
    source = open_source(path, channels=None)
    try:
        info = source.info
        load_in_memory([source])
        affine = None if info.geometry.affine is None else info.geometry.affine.tolist()
        head = (info.shape, info.channels, info.batch, info.dtype.name, affine, info.slope, info.intercept, info.labels)
        if info.voxels * info.channels * info.batch * 8 > MOST_BYTES:
            return head
        out = np.empty((info.channels, *info.shape), np.float64)
        parts = []
        for batch in range(info.batch):
            source.read(Region.whole(info.shape), out, batch)
            parts.append(out.tobytes())
        return head, parts, read_record(path)
    finally:
        source.close()


def read_weights(path: Path) -> Any:
    with open_weights(path) as store:
        tensors = [(name, shape, dtype) for name, shape, dtype in store.describe()]
        return tensors, [store[name].tobytes() for name in store]


def make_weights(kind: str, path: Path) -> None:
    rng = np.random.default_rng(2)
    tensors = {
        "conv.weight": rng.normal(size=(4, 2, 3, 3, 3)).astype("f4"),
        "conv.bias": rng.normal(size=4),
        "half": rng.normal(size=(2, 5)).astype("f2"),
        "steps": np.arange(-3, 4),
    }
    WRITERS[kind](path, tensors)


def make_npy(path: Path) -> None:
    np.save(path, np.random.default_rng(3).normal(size=(4, 3, 3, 3, 3)).astype("f4"))


def make_legacy_torch(path: Path) -> None:
    numbers = np.arange(16, dtype="f4").tobytes()
    pickled = pickle_cases.state_dict(a=pickle_cases.tensor(pickle_cases.storage(numel=16, rest=[b"N"])))
    path.write_bytes(pickle_cases.torch_legacy(pickled, {"0": (16, numbers)}))


def make_lucid_2(path: Path) -> None:
    path.write_bytes(pickle_cases.lucid2(pickle.dumps(dict(STATE), 4)))


def make_text_spec(path: Path) -> None:
    path.write_text(SPEC)


def make_json_spec(path: Path) -> None:
    from ruamel.yaml import YAML

    path.write_text(json.dumps(YAML(typ="safe", pure=True).load(SPEC), indent=1))


CARRIERS = {
    "NIfTI .nii": Carrier(".nii", make_nifti, read_volume),
    "NIfTI .nii.gz": Carrier(".nii.gz", make_nifti, read_volume, sealed=True),
    "NIfTI .nii.gz by volconv": Carrier(".nii.gz", make_output, read_volume, sealed=True),
    "HDF5 by volconv": Carrier(".h5", make_output, read_volume, sealed=True),
    "HDF5 by h5py": Carrier(".h5", make_foreign_hdf5, read_volume),
    "safetensors": Carrier(".safetensors", partial(make_weights, "safetensors"), read_weights),
    "npz": Carrier(".npz", partial(make_weights, "npz"), read_weights),
    "npz, compressed": Carrier(".npz", partial(make_weights, "npz-compressed"), read_weights),
    "npy": Carrier(".npy", make_npy, read_weights),
    "PyTorch .pt": Carrier(".pt", partial(make_weights, "torch"), read_weights),
    "PyTorch, legacy": Carrier(".pt", make_legacy_torch, read_weights),
    "MegEngine .pkl": Carrier(".pkl", partial(make_weights, "pickle-4"), read_weights),
    "Lucid 3": Carrier(".lucid", lambda path: path.write_bytes(lucid_bytes(STATE)) and None, read_weights),
    "ONNX": Carrier(".onnx", partial(make_weights, "onnx"), read_weights),
    "HDF5 weights": Carrier(".h5", partial(make_weights, "hdf5"), read_weights),
    "spec .yaml": Carrier(".yaml", make_text_spec, check),
    "spec .json": Carrier(".json", make_json_spec, check),
}
