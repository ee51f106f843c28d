"""The formats weights are read from; a new one is its own file and one name below."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import WeightsError
from .base import Reader, WeightsFormat
from .foreign import describe_foreign
from .lucid import LUCID
from .lucid_sharded import LUCID_SHARDED
from .npy import NPY
from .npz import NPZ
from .onnx_file import ONNX
from .pickled import LUCID2, PICKLED
from .raw_numbers import MESHNET, MESHNET_NUMBERS, TFJS, TFJS_NUMBERS
from .safetensors_file import SAFETENSORS
from .torch_legacy import TORCH_LEGACY
from .torch_zip import TORCH_ZIP
from .weight_file import WeightFile


def formats() -> Iterator[WeightsFormat]:
    """Yield all formats, in the order in which a file is held against them."""
    yield from (SAFETENSORS, NPY, NPZ, TORCH_ZIP, TORCH_LEGACY, LUCID, LUCID2, PICKLED, LUCID_SHARDED, ONNX)
    yield from (TFJS, MESHNET)
    from .hdf5 import HDF5  # h5py takes a tenth of a second that files of other formats need not pay

    yield HDF5
    # Told by the document beside them, where their content says nothing.
    yield from (TFJS_NUMBERS, MESHNET_NUMBERS)


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
    raise WeightsError(f"found {describe_foreign(file)}", file=file.name)
