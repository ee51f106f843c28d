"""Which dialects there are: the files of the folder ``ops/dialects``. Reads their names only, for the spec, which must
not import operators, checks a name by them too.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from pkgutil import iter_modules

DEFAULT = "torch"


@cache
def dialect_names() -> tuple[str, ...]:
    """Return the names of all dialects, the default first."""
    folder = Path(__file__).parent / "ops" / "dialects"
    names = sorted(module.name for module in iter_modules([str(folder)]))
    return (DEFAULT, *(name for name in names if name != DEFAULT))
