"""The letters that name a file's axes, in HDF5 attributes and in ``--axes``. Knows no format."""

from __future__ import annotations

from ..errors import UsageError, show

_LETTERS = "tczyx"


def letters_fault(letters: str) -> str:
    """Return what is wrong with `letters`, or nothing."""
    odd = sorted(set(letters) - set(_LETTERS))
    if odd:
        return f"found {', '.join(odd)!r}, expected letters of t c z y x"
    if len(set(letters)) != len(letters):
        return "a letter stands there twice"
    if not {"x", "y"} <= set(letters):
        return "x and y must be among them"
    return ""


def check_letters(wanted: str | None) -> None:
    """Raise `UsageError` if `wanted` (``--axes``) are no axes of any file."""
    if wanted is not None and (fault := letters_fault(wanted)):
        raise UsageError(f"axes {show(wanted)!r}: {fault}", code="usage.axes")
