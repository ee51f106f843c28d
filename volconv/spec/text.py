"""The bytes of a spec file into text, and text into a tree; every fault with line and column. Knows no key."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NoReturn

from ..errors import MissingFileError, SpecError, show
from ..values import Place
from .tree import Node, fail_text

MAX_BYTES = 2**20
# The characters YAML calls printable, less the line breaks that only some editors count (NEL, LS, PS). Compiling the
# ranges beyond ASCII takes 30 ms, which the many specs without them need not pay.
_UNPRINTABLE_ASCII = "[^\t\n\r\x20-\x7e]"
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"


def read_text(path: Path) -> str:
    """Return the text of the spec file `path`, line breaks as they are.

    Raises
    ------
    MissingFileError
        There is no such file, it cannot be read, or it is no regular file.
    SpecError
        It is over `MAX_BYTES`, or no UTF-8.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                _refuse(path, "a folder" if stat.S_ISDIR(mode) else "no regular file")
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MissingFileError(f"cannot be read ({reason}), expected a spec file", file=str(path)) from error
    return decode(content, str(path))


def _refuse(path: Path, found: str) -> NoReturn:
    raise MissingFileError(f"found {found}, expected a spec file", file=str(path))


def decode(content: bytes, file: str) -> str:
    """Return UTF-8 `content` as text."""
    if len(content) > MAX_BYTES:
        raise SpecError(
            f"found more than {MAX_BYTES} bytes, expected a spec; large weights go elsewhere",
            code="spec.too_large",
            file=file,
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        fail_text(Place(file, 1, 1), "UTF-16", "UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8")
        found = f"the byte 0x{content[error.start]:02x}, which is no UTF-8"
        fail_text(Place(file, *position(good, len(good))), found, "UTF-8 text")


def position(text: str, at: int) -> tuple[int, int]:
    """Return the 1-based line and column of the character at index `at`."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def parse_tree(text: str, file: str) -> Node:
    """Return the tree of `text`: JSON where `file` ends in ``.json``, else YAML 1.2."""
    if len(text) > MAX_BYTES:
        raise SpecError(
            f"found more than {MAX_BYTES} characters, expected a spec", code="spec.too_large", file=file or None
        )
    body = text.removeprefix("\ufeff")
    unprintable = re.search(_UNPRINTABLE_ASCII if body.isascii() else _UNPRINTABLE, body)
    if unprintable is not None:
        found = f"the character {show(unprintable[0])}"
        hint = "; is this UTF-16?" if unprintable[0] == "\0" else ""
        fail_text(Place(file, *position(body, unprintable.start())), found, f"printable text in UTF-8{hint}")
    if file.lower().endswith(".json"):
        from .json_tree import read_json

        return read_json(body, file)
    from .yaml_tree import read_yaml

    return read_yaml(body, file)
