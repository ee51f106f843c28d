"""The shipped presets: list them, read one, copy one to change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..formats.atomic import check_output, write_whole
from ..spec.presets import describe_presets, preset_text


def list_presets() -> list[dict[str, Any]]:
    """Return name, description and parameters (name, default, unit, help) of every preset, by name."""
    return [
        {
            "name": name,
            "description": description,
            "parameters": [
                {"name": entry.name, "default": str(entry.default), "unit": entry.unit, "help": entry.help}
                for entry in parameters.values()
            ],
        }
        for name, description, parameters in describe_presets()
    ]


def show_preset(name: str) -> str:
    """Return the text of the preset `name`; an unknown name is a `UsageError`."""
    return preset_text(name)


def copy_preset(name: str, target: str | Path, *, force: bool = False) -> Path:
    """Write the text of the preset `name` to a file and return its path.

    Parameters
    ----------
    name : str
        Of the preset.
    target : path
        A file name, or a folder that exists: the file is then called ``NAME.yaml``.
    force : bool
        Whether a file that exists is replaced.

    Raises
    ------
    UsageError
        If there is no such preset, or the file exists or cannot be written.
    """
    text = preset_text(name)
    path = Path(target)
    if path.is_dir():
        path = path / f"{name}.yaml"
    check_output(path, force=force)
    write_whole(path, text.encode(), force)
    return path
