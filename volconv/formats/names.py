"""What a volume's name says: its format, and for HDF5 the dataset inside. Touches no file.

Of a name that says nothing it is asked whether it is a folder, for the message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

NIFTI = "nifti"
HDF5 = "hdf5"
SUFFIXES = {
    NIFTI: (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
    HDF5: (".h5", ".hdf5"),
}
_CHANNEL = re.compile(r"_ch[0-9]{2,}")
_DATASET = re.compile(r"(.+?\.(?:h5|hdf5)):(.*)\Z", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class VolumeName:
    """A volume as the user named it.

    Attributes
    ----------
    path : Path
        The file; of a NIfTI pair, the half that was named.
    format : str
        ``nifti`` or ``hdf5``.
    dataset : str or None
        Absolute name inside an HDF5 file (``/group/raw``); None where the name has none.
    """

    path: Path
    format: str
    dataset: str | None = None

    @property
    def suffix(self) -> str:
        """The suffix that decided the format, in lower case: ``.nii.gz``."""
        return _suffix(self.path.name, self.format)

    @property
    def stem(self) -> str:
        """The file's name without that suffix."""
        return self.path.name[: -len(self.suffix)]


def parse_volume_name(name: str | Path) -> VolumeName:
    """Return what `name` says, by its suffix alone.

    Parameters
    ----------
    name : str or Path
        ``scan.nii.gz``, ``scan.h5``, ``scan.h5:/group/raw``; case of the suffix is ignored.

    Raises
    ------
    UsageError
        If the suffix is of no known format, or a dataset is named but empty.
    """
    text = str(name)
    if "\0" in text:
        raise UsageError("found a NUL character in the name, expected a file name", code="usage.format", file=text)
    match = _DATASET.match(text)
    if match is not None:
        dataset = match[2].strip("/")
        if not dataset:
            raise UsageError(
                "found nothing behind the colon, expected a dataset such as :/data", code="usage.format", file=text
            )
        return VolumeName(Path(match[1]), HDF5, "/" + dataset)
    path = Path(text)
    for format_name in SUFFIXES:
        if _suffix(path.name, format_name):
            return VolumeName(path, format_name)
    known = ", ".join((".nii", ".nii.gz", ".hdr/.img", *SUFFIXES[HDF5]))
    if os.path.isdir(text):  # noqa: PTH112  (as a `Path`, an empty name is the working folder, and a long one raises)
        raise UsageError(f"found a folder, expected a file of one of {known}", code="usage.format", file=text)
    raise UsageError(f"the name's ending says no format, expected one of {known}", code="usage.format", file=text)


def is_file_of(file: str, output: str, split: bool = False) -> bool:
    """Whether the output named `output` may become a file of that name, in the same folder.

    Itself; the halves of a pair; with `split` one file a channel, ``OUT_ch00.nii.gz``.
    """
    volume = parse_volume_name(output)
    suffixes = (".hdr", ".img") if volume.suffix in (".hdr", ".img") else (volume.suffix,)
    stem = next((file[: -len(suffix)] for suffix in suffixes if file.lower().endswith(suffix)), None)
    if stem is None or stem == volume.stem:
        return stem is not None
    return split and _CHANNEL.fullmatch(stem.removeprefix(volume.stem)) is not None and stem.startswith(volume.stem)


def _suffix(name: str, format_name: str) -> str:
    """Return the longest suffix of that format `name` ends with and has something before, else nothing."""
    lower = name.lower()
    fitting = [s for s in SUFFIXES[format_name] if lower.endswith(s) and len(lower) > len(s)]
    return max(fitting, key=len, default="")
