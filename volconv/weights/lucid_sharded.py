"""Lucid's sharded folders: an ``index.json`` that lists ``.lucid`` files beside it, and which names are in which."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ..errors import WeightsError
from .base import TensorInfo, WeightsFormat, refuse_duplicate
from .contained import open_contained
from .lucid import is_lucid, open_lucid
from .strided import ViewReader
from .weight_file import WeightFile

MAX_INDEX = 1 << 24
MAX_SHARDS = 4096


def is_index(file: WeightFile) -> bool:
    """Whether the file is JSON that begins as an index does."""
    return re.match(rb'\s*\{\s*"_lucid_sharded"\s*:', file.head) is not None


class ShardedReader:
    """The tensors of all shards, in the index's order."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self._readers: dict[str, ViewReader] = {}
        self.tensors: dict[str, TensorInfo] = {}
        for shard in self._read_index():
            part = open_contained(file, shard)
            if not is_lucid(part):
                self._fail(f"{shard!r} that is no Lucid file", "one")
            reader = open_lucid(part)
            for key, info in reader.tensors.items():
                if key in self.tensors:
                    refuse_duplicate(file, key)
                self.tensors[key] = info
                self._readers[key] = reader

    def _fail(self, found: str, expected: str) -> NoReturn:
        raise WeightsError(
            f"Lucid index: found {found}, expected {expected}", code="weights.json", file=self._file.name
        )

    def _read_index(self) -> list[str]:
        if self._file.size > MAX_INDEX:
            self._fail(f"{self._file.size} bytes", f"at most {MAX_INDEX}")
        try:
            index = json.loads(self._file.read_at(0, self._file.size).decode("utf-8"))
        except (ValueError, RecursionError):
            self._fail("damaged JSON", "a JSON object in UTF-8")
        shards = index.get("shards")
        if index.get("_lucid_sharded") != 1 or not isinstance(shards, list) or len(shards) > MAX_SHARDS:
            self._fail("another object", f"_lucid_sharded 1 and a list of at most {MAX_SHARDS} shards")
        files = [name for shard in shards if isinstance(shard, dict) and isinstance(name := shard.get("file"), str)]
        if len(set(files)) != len(shards):
            self._fail("shards of other parts", "a file for each, all different")
        return files

    def read(self, key: str) -> Any:
        """Return the tensor `key`."""
        return self._readers[key].read(key)

    def close(self) -> None:
        """The shards belong to the index and are closed with it."""


LUCID_SHARDED = WeightsFormat("Lucid (sharded)", is_index, ShardedReader)
