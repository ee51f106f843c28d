"""Which folders are weights: those of Lucid's shards, told by their index. Reads nothing."""

from __future__ import annotations

from pathlib import Path

INDEX = "index.json"


def is_sharded(path: Path) -> bool:
    """Whether `path` is a folder with an index."""
    try:
        return (path / INDEX).is_file()
    except (OSError, ValueError):
        return False
