"""What PyTorch's pickles say of a storage: ``('storage', class, key, location, number of elements)``.

The location, the device a storage came from, is of no interest: the bytes are in the file whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .pickle_input import PickleInput
from .pickle_values import STORAGE_DTYPES, Token
from .strided import ITEM_BYTES


@dataclass(frozen=True, slots=True)
class StorageId:
    """Key, type (empty: bytes) and bytes of a storage, and what follows in the legacy format."""

    key: str
    dtype: str
    nbytes: int
    rest: tuple[Any, ...]


def parse_storage_id(pickle: PickleInput, parts: tuple[Any, ...], count: int) -> StorageId:
    """Return what the persistent id `parts`, of `count` parts, says.

    Raises
    ------
    WeightsError
        If it is no storage's, or its number of elements is none.
    """
    if parts[0] == "module":
        pickle.fail("a whole pickled module", "weights: save its state_dict() instead")
    if len(parts) != count or parts[0] != "storage":
        pickle.fail("a reference to something else", "a storage")
    token, key, _, numel = parts[1:5]
    if not isinstance(token, Token) or token not in STORAGE_DTYPES:
        pickle.fail("a storage of another kind", "one of PyTorch's classes")
    if not isinstance(key, str) or type(numel) is not int or not 0 <= numel < 1 << 62:
        pickle.fail("a storage of other parts", "its name and its number of elements")
    dtype = STORAGE_DTYPES[token]
    return StorageId(key, dtype, numel * ITEM_BYTES[dtype or "uint8"], parts[5:])
