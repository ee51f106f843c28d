"""Files that are no weights, told by their content, so that the error can say what they are and what to do."""

from __future__ import annotations

import re

from .torch_zip import is_torch_script
from .weight_file import WeightFile
from .zip_archive import is_zip, read_members

_KNOWN = "safetensors, a PyTorch, MegEngine, Lucid, ONNX or TensorFlow.js file, npz, npy or HDF5"


def describe_foreign(file: WeightFile) -> str:
    """Return what `file`, which no reader matches, is: ``an HTML page, expected a weights file: ...``."""
    head = file.head
    if not head:
        return "an empty file, expected a weights file"
    if not any(head):
        return "nothing but zeros, expected a weights file: it may have been cut off while it was copied"
    if is_zip(file):
        return _describe_zip(list(read_members(file)))
    for matches, text in _TELLTALES:
        if re.match(matches, head, re.DOTALL | re.IGNORECASE):
            return text
    if head[257:262] == b"ustar":
        return (
            "a tar archive, expected a weights file; if PyTorch before 0.1.10 wrote it, load it with that version and "
            "save the state_dict() again, else unpack it"
        )
    return f"an unknown format, expected {_KNOWN}"


def _describe_zip(names: list[str]) -> str:
    if is_torch_script(names):
        return (
            "a TorchScript archive, a program and not weights: load it with torch.jit.load and save its state_dict() "
            "with torch.save"
        )
    if "model.weights.h5" in names:
        return "a Keras archive, expected weights: unpack the file model.weights.h5 in it"
    return "a zip archive of other things, expected a PyTorch archive or .npy members"


_TELLTALES = (
    (rb"version https://git-lfs", "a Git LFS pointer, expected the file it points to: run git lfs pull"),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)",
        "an HTML page, expected a weights file: the download brought a web page instead",
    ),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml", "an XML document, expected a weights file"),
    (rb"\s*\{", "a JSON document, expected a weights file"),
    (rb"\x1f\x8b", "a gzip stream, expected the weights file inside: unpack it first"),
    (
        rb"MGB[CS]",
        "a MegEngine graph dump, a program and not weights: save the state_dict() of the module with megengine.save",
    ),
    (rb"GGUF", f"a GGUF model, expected {_KNOWN}"),
    (rb".{344}(?:n\+1|ni1)\x00", "a NIfTI volume, expected a weights file"),
)
