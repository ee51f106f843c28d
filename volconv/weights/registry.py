"""The formats weights are read from; a new one is its own file and one line below."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from ..errors import WeightsError
from .base import Reader, WeightsFormat
from .weight_file import WeightFile

FORMATS = (
    ("safetensors_file", "SAFETENSORS"),
    ("npy", "NPY"),
    ("npz", "NPZ"),
    ("torch_zip", "TORCH_ZIP"),
    ("torch_legacy", "TORCH_LEGACY"),
    ("lucid", "LUCID"),
    ("pickled", "LUCID2"),
    ("pickled", "PICKLED"),
    ("lucid_sharded", "LUCID_SHARDED"),
    ("onnx_file", "ONNX"),
    ("raw_numbers", "TFJS"),
    ("raw_numbers", "MESHNET"),
    ("hdf5", "HDF5"),
    # Told by the document beside them, where their content says nothing.
    ("raw_numbers", "TFJS_NUMBERS"),
    ("raw_numbers", "MESHNET_NUMBERS"),
)
"""Module and name of each, in the order in which a file is held against them. A module is loaded when no format before
its own fits: most take a few milliseconds, h5py a tenth of a second."""


def formats() -> Iterator[WeightsFormat]:
    """Yield all formats, in the order in which a file is held against them."""
    for module, name in FORMATS:
        found: WeightsFormat = getattr(import_module(f".{module}", __package__), name)
        yield found


def open_reader(file: WeightFile) -> tuple[WeightsFormat, Reader]:
    """Return the format of `file`, told by its content, and a reader.

    Raises
    ------
    WeightsError
        If no format fits, saying what the file seems to be, or if the file is damaged.
    """
    for candidate in formats():
        if candidate.matches(file):
            return candidate, candidate.open(file)
    from .foreign import describe_foreign

    raise WeightsError(f"found {describe_foreign(file)}", code="weights.format", file=file.name)
