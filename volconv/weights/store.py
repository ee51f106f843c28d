"""An open weights file: a mapping from names to arrays, read when asked for, and the checks a tensor must pass.

Knows nothing of stages or operators; whoever asks says which shape is wanted and for what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from .base import TensorInfo
from .lucid_folder import INDEX, is_sharded
from .missing import MissingTensorError, explain_missing, explain_prefix
from .registry import open_reader
from .weight_file import WeightFile


class WeightsStore(Mapping[str, NDArray[Any]]):
    """The tensors of one file, less a prefix; made by `open_weights`.

    A missing name raises `MissingTensorError`, which is a `WeightsError` and a `KeyError`.

    Attributes
    ----------
    path : Path
        As given.
    format : str
        As in the registry: ``safetensors``, ``PyTorch``, ``MegEngine``, ...
    layout : str
        Whose order of axes the format has, ``keras``; empty where it says nothing of it.
    prefix : str
        As given.
    """

    def __init__(self, file: WeightFile, prefix: str) -> None:
        self._file = file
        self.path = file.path
        self.prefix = prefix
        kind, self._reader = open_reader(file)
        self.format, self.layout = kind.name, kind.layout
        every = self._reader.tensors
        self._infos = {key.removeprefix(prefix): info for key, info in every.items() if key.startswith(prefix)}
        if prefix and (not self._infos or all(key.startswith(".") for key in self._infos)):
            raise WeightsError(explain_prefix(prefix, every), code="weights.missing_tensor", file=file.name)

    def __getitem__(self, name: str) -> NDArray[Any]:
        info = self.info(name)
        if not info.is_numeric:
            expected = "real numbers" if info.dtype != "object" else "numbers: pickled objects are never loaded"
            raise WeightsError(
                f"found type {info.dtype}, expected {expected}",
                code="weights.type",
                file=self._file.name,
                where=show(name),
            )
        if not self._file.is_open:
            raise WeightsError("the file has been closed", file=self._file.name)
        return self._reader.read(self.prefix + name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __repr__(self) -> str:
        return f"WeightsStore({str(self.path)!r}, format={self.format!r}, tensors={len(self)})"

    def info(self, name: str) -> TensorInfo:
        """Return shape, type and bytes of `name` without reading it."""
        if name not in self._infos:
            message = explain_missing(name, self._reader.tensors, self.prefix)
            raise MissingTensorError(message, file=self._file.name)
        return self._infos[name]

    def describe(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Return name, shape and type of every tensor, in the file's order."""
        return [(name, info.shape, info.dtype) for name, info in self._infos.items()]

    def digest(self) -> str:
        """Return the SHA-256 of the whole file, other files it speaks of included, as lower-case hex."""
        return self._file.digest()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that belongs to it."""
        return self._file.paths

    def close(self) -> None:
        """Close the file; harmless when closed."""
        self._reader.close()
        self._file.close()

    def __enter__(self) -> WeightsStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_weights(path: Path | str, prefix: str = "", *, named_in_spec: bool = False) -> WeightsStore:
    """Open a weights file; its format is told by its content, whatever its name.

    Parameters
    ----------
    path : Path
        A file of PyTorch, MegEngine or Lucid, safetensors, npz, npy (one tensor, whose name is the empty string),
        HDF5 (dots for slashes), ONNX, or TensorFlow.js (``model.json`` or its numbers); or a folder of Lucid's shards.
    prefix : str
        What to leave off the names, ``model.`` for instance; names without it are not seen.
    named_in_spec : bool
        Whether a spec names the file: a missing one is then a `WeightsError` instead of a `MissingFileError`.

    Returns
    -------
    WeightsStore
        A mapping from names to arrays of the file's shapes and types; each is read when it is asked for.

    Raises
    ------
    MissingFileError
        If there is no such file, or it is a folder, a pipe or a device.
    WeightsError
        If it is of no known format, damaged, or has no name with the prefix.
    """
    path = Path(path)
    file = WeightFile(path / INDEX if is_sharded(path) else path, named_in_spec)
    try:
        store = WeightsStore(file, prefix)
    except BaseException:
        file.close()
        raise
    store.path = path  # of a folder of shards the folder, not its index
    return store


def get_tensor(
    store: WeightsStore,
    key: str,
    expected_shape: tuple[int, ...] | None = None,
    *,
    dtype: str = "float32",
    used_for: str = "",
) -> NDArray[Any]:
    """Return a tensor that is there, numeric, finite and of the wanted shape, cast to `dtype`.

    Parameters
    ----------
    expected_shape : tuple of int, optional
        Held against the file's before anything is read.
    dtype : str
        ``float32`` or another of NumPy's or ml_dtypes' float types.
    used_for : str
        For messages: ``weight of stage 'conv1' (Conv3d)``.

    Raises
    ------
    MissingTensorError
        If there is none of this name; the message lists the nearest names and a prefix that would fit.
    WeightsError
        For another shape, a type that is no real number, NaN, Inf, and numbers beyond the range of `dtype`.
    """
    where = f"{show(key)} ({used_for})" if used_for else show(key)
    shape = get_shape(store, key, used_for=used_for)
    if expected_shape is not None and shape != tuple(expected_shape):
        found, expected = list(shape), list(expected_shape)
        raise WeightsError(
            f"found shape {found}, expected {expected}", code="weights.shape", file=str(store.path), where=where
        )
    return to_dtype(store[key], dtype, file=str(store.path), where=where)


def get_shape(store: WeightsStore, key: str, *, used_for: str = "") -> tuple[int, ...]:
    """Return the shape of a tensor without reading it; raises as `get_tensor` does where there is none."""
    try:
        return store.info(key).shape
    except MissingTensorError as error:
        raise MissingTensorError(error.message, file=error.file, where=used_for or None) from None


def to_dtype(values: NDArray[Any], dtype: str, *, file: str | None = None, where: str | None = None) -> NDArray[Any]:
    """Return `values` rounded once to `dtype`, C-contiguous.

    Raises
    ------
    WeightsError
        If a value is NaN or Inf, or becomes so in `dtype`; with their number.
    """
    from .base import make_dtype

    target = make_dtype(dtype)
    _refuse_non_finite(values, "NaN or Inf", file, where)
    with np.errstate(over="ignore"):
        out = np.asarray(values, dtype=target, order="C")
    if out.dtype != values.dtype:
        _refuse_non_finite(out, f"too large for {dtype}", file, where)
    return out


def _refuse_non_finite(values: NDArray[Any], fault: str, file: str | None, where: str | None) -> None:
    if values.dtype.kind in "iu":
        return
    count = values.size - int(np.count_nonzero(np.isfinite(values)))
    if count:
        raise WeightsError(
            f"found {count} of {values.size} values {fault}, expected finite numbers",
            code="weights.not_finite",
            file=file,
            where=where,
        )
