"""What the codes of a NIfTI header are called, by nibabel's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIME = 0o70
_SPACE = 0o7
"""The bits of ``xyzt_units`` that hold the unit of time, and of space."""


def code_name(field: str, code: int) -> str:
    """Return what `code` means, empty where nothing is known of it.

    Parameters
    ----------
    field : str
        ``units``, ``intent_code``, ``qform_code`` or ``sform_code``.
    code : int
        As the header has it.
    """
    from nibabel import nifti1

    if field == "units":
        parts = [_look_up(nifti1.unit_codes, code & _SPACE), _look_up(nifti1.unit_codes, code & _TIME)]
        known = [part for part in parts if part not in ("", "unknown")]
        return ", ".join(known) or "unknown"
    return _look_up(nifti1.intent_codes if field == "intent_code" else nifti1.xform_codes, code)


def _look_up(table: Any, code: int) -> str:
    labels: Mapping[int, str] = table.label
    return labels[code].strip() if code in labels else ""
