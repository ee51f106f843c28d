"""3-D convolution pipelines over medical volumes, in exact tiles, on CPUs.

The public names load on first use: importing the package costs nothing, and `--help` needs no NumPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import VolconvError

if TYPE_CHECKING:
    from .api.layers import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
    from .api.pipeline import load
    from .api.plan import plan
    from .api.run import run
    from .weights.store import open_weights as load_weights

__all__ = [
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "VolconvError",
    "__version__",
    "load",
    "load_weights",
    "plan",
    "run",
]

_HOMES = {
    "Conv2d": ("api.layers", "Conv2d"),
    "Conv3d": ("api.layers", "Conv3d"),
    "ConvTranspose2d": ("api.layers", "ConvTranspose2d"),
    "ConvTranspose3d": ("api.layers", "ConvTranspose3d"),
    "load": ("api.pipeline", "load"),
    "load_weights": ("weights.store", "open_weights"),
    "plan": ("api.plan", "plan"),
    "run": ("api.run", "run"),
}

# In a checkout the command line lies beside this folder, not inside it as in an installed package.
if not (Path(__file__).parent / "cli").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


class _Package(ModuleType):
    """This module's type: `run` and `plan` stay functions although sub-packages bear these names.

    Importing ``volconv.run.events`` makes the import system set the sub-package as an attribute of its parent, which
    would hide the function. Import statements find sub-packages in ``sys.modules`` and need no attribute.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
