"""Files that are no weights this version reads, told by their content, so that the error can say what they are."""

from __future__ import annotations

import re

from .weight_file import WeightFile
from .zip_archive import is_zip, read_members

_LEGACY_TORCH = bytes.fromhex("6cfc9c46f9206aa85019")
_PICKLED_MODULE = re.compile(rb"torch\.nn\.modules|megengine\.module")
_UNSUPPORTED = "not supported by this version; safetensors, npz, npy and HDF5 are"


def describe_foreign(file: WeightFile) -> str:
    """Return what `file`, which no reader matches, is: ``an HTML page, expected a weights file: ...``."""
    head = file.head
    if not head:
        return "an empty file, expected a weights file"
    if not any(head):
        return "nothing but zeros, expected a weights file: it may have been cut off while it was copied"
    if is_zip(file):
        return _describe_zip(file)
    for matches, text in _TELLTALES:
        if re.match(matches, head, re.DOTALL | re.IGNORECASE):
            return text
    if head[257:262] == b"ustar":
        return f"a tar archive (PyTorch before 0.1.10 wrote such files): {_UNSUPPORTED}"
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _describe_pickle(head)
    if re.match(rb"\x08[\x03-\x20][\x12\x22\x2a\x3a\x42]", head):
        return f"an ONNX model: {_UNSUPPORTED}"
    return "an unknown format, expected safetensors, npz, npy or HDF5"


def _describe_zip(file: WeightFile) -> str:
    names = list(read_members(file))
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"a TorchScript archive: {_UNSUPPORTED}; save the state_dict() as safetensors"
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return f"a PyTorch zip archive: {_UNSUPPORTED}; convert it to safetensors"
    return "a zip archive of other things, expected .npy members"


def _describe_pickle(head: bytes) -> str:
    if _LEGACY_TORCH in head[:32]:
        return f"a PyTorch file of the format before 1.6: {_UNSUPPORTED}; convert it to safetensors"
    if b"_lucid_format" in head:
        return f"a Lucid file: {_UNSUPPORTED}; convert it to safetensors"
    if _PICKLED_MODULE.search(head):
        return f"a pickled module: {_UNSUPPORTED}; save its state_dict() as safetensors"
    if b"megengine" in head or b"multiarray" in head or b"numpy" in head:
        return f"a MegEngine pickle: {_UNSUPPORTED}; convert it to safetensors"
    return f"a Python pickle: {_UNSUPPORTED}; convert it to safetensors"


_TELLTALES = (
    (rb"version https://git-lfs", "a Git LFS pointer, expected the file it points to: run git lfs pull"),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)",
        "an HTML page, expected a weights file: the download brought a web page instead",
    ),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml", "an XML document, expected a weights file"),
    (rb"\s*\{", "a JSON document, expected a weights file"),
    (rb"\x1f\x8b", "a gzip stream, expected the weights file inside: unpack it first"),
    (rb"MGB[CS]", f"a MegEngine graph dump, not a state dict: {_UNSUPPORTED}"),
    (rb"GGUF", f"a GGUF model: {_UNSUPPORTED}"),
    (rb".{344}(?:n\+1|ni1)\x00", "a NIfTI volume, expected a weights file"),
)
