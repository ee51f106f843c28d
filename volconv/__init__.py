"""3-D convolution pipelines over medical volumes, in exact tiles, on CPUs."""

from __future__ import annotations

from pathlib import Path

from ._version import __version__

# In a checkout the command line lies beside this folder, not inside it as in an installed package.
if not (Path(__file__).parent / "cli").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

__all__ = ["__version__"]
