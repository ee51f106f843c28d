"""A first run: a shipped preset on the shipped scan, and a look at both without any viewer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, VolconvError
from ..formats.atomic import write_whole
from ..formats.open import open_source
from ..formats.record import read_record
from ..region import Region
from .run import run

SCAN = "t1_2mm.nii.gz"
PRESET = "edges"
SETTINGS = {"sigma": "2mm"}
OUTPUT = f"{PRESET}.nii.gz"
_SHADES = " .:-=+*#%@"
_WIDTH, _HEIGHT = 44, 26


def demo(folder: str | Path = "volconv-demo", on_event: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """Run the preset `PRESET` on the scan that comes with the package.

    Parameters
    ----------
    folder : path
        Made where it is missing; what an earlier demo wrote there is replaced, other files stay, and are an error under
        a name that is needed.
    on_event : callable, optional
        Called with the events of `volconv.run.events`.

    Returns
    -------
    dict
        ``folder``, ``scan``, ``output``, ``preset``, ``settings``, ``summary`` (of the run), and ``pictures``: the
        middle axial slice of scan and output as lines of text.

    Raises
    ------
    OutputError
        A file that no demo wrote stands under a name it needs.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", file=str(target)) from error
    scan, output = target / SCAN, target / OUTPUT
    with as_file(files("volconv.sample_data") / SCAN) as shipped:
        content = shipped.read_bytes()
    for path, is_own in ((scan, _is_scan), (output, _is_output)):
        if path.is_file() and not is_own(path, content):
            raise OutputError(
                "exists and was not written by the demo; move it away, or run the demo in another folder",
                code="output.exists",
                file=str(path),
            )
    write_whole(scan, content, force=True)
    summary = run(PRESET, str(scan), str(output), settings=SETTINGS, force=True, on_event=on_event)
    return {
        "folder": str(target),
        "scan": str(scan),
        "output": str(output),
        "preset": PRESET,
        "settings": SETTINGS,
        "summary": summary,
        "pictures": {name: picture(middle_slice(path)) for name, path in (("scan", scan), ("output", output))},
    }


def _is_scan(path: Path, scan: bytes) -> bool:
    """Return whether `path` holds `scan`, the bytes of the shipped one."""
    try:
        return path.read_bytes() == scan
    except OSError:
        return False


def _is_output(path: Path, scan: bytes) -> bool:
    """Return whether the record in `path` says that it was made of the shipped scan as the demo makes it."""
    try:
        record = read_record(path) or {}
        (source,) = record["inputs"]
        made_by = (record["spec"]["name"], record["options"], source["name"], source["sha256"])
    except (VolconvError, LookupError, TypeError, ValueError):
        return False
    return made_by == (PRESET, {"set": SETTINGS}, SCAN, hashlib.sha256(scan).hexdigest())


def middle_slice(path: Path) -> NDArray[np.float32]:
    """Return the middle slice (H, W) of the first channel of the volume at `path`."""
    source = open_source(str(path))
    try:
        source.load(None)
        d, h, w = source.info.shape
        out = np.empty((source.info.channels, 1, h, w), np.float32)
        source.read(Region((d // 2, 0, 0), (d // 2 + 1, h, w)), out)
    finally:
        source.close()
    slice_hw: NDArray[np.float32] = out[0, 0]
    return slice_hw


def picture(values: NDArray[np.float32], width: int = _WIDTH, height: int = _HEIGHT) -> Sequence[str]:
    """Return a slice (H, W) as `height` lines of `width` letters: the darkest is a space, the end of H is on top."""
    low, high = np.percentile(values, (1, 99.5))
    share = np.clip((values - low) / max(float(high - low), 1e-30), 0, 1)
    rows = np.linspace(values.shape[0] - 1, 0, height).round().astype(int)
    places = np.linspace(0, values.shape[1] - 1, width).round().astype(int)
    shades = (share[np.ix_(rows, places)] * (len(_SHADES) - 1)).round().astype(int)
    return ["".join(_SHADES[shade] for shade in row) for row in shades]
