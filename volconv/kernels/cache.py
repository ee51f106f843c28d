"""Compiled kernels on disk: where they lie, the key they are valid for, and files that prove themselves whole.

Knows bytes and labels; what the bytes mean is known to `jit`. A folder holds one file a kernel specialisation,
replaced atomically and carrying its own digest, so any number of processes may read and write it at once, and a
damaged file counts as absent. (Numba's own index files let two processes give one data file to two kernels.)
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

_log = logging.getLogger("volconv")
_MAGIC = b"volconv kernel 1\n"
_DIGEST_BYTES = 32
# Settings of numba that change where code is kept or how many threads run it, but not the code.
_NEUTRAL_SETTINGS = frozenset(
    {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"}
)


def default_folder(key: str, environ: Mapping[str, str]) -> Path | None:
    """Return the folder the user's settings name for `key`: ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME`` or ``~/.cache``.

    None when there is no absolute path to be had (no home). As the XDG base directory specification says, a relative
    ``XDG_CACHE_HOME`` is ignored.
    """
    if chosen := environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen).absolute() / "volconv" / key
    xdg = Path(environ.get("XDG_CACHE_HOME") or ".")
    base = xdg if xdg.is_absolute() else Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111 (home() may raise)
    return base / "volconv" / key if base.is_absolute() else None


def cache_key(cpu: str, libraries: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the digest of all that decides what machine code a kernel becomes.

    Parameters
    ----------
    cpu : str
        The processor's name and features, as LLVM gives them.
    libraries : sequence of str
        Name and version of each library that has a part in compiling.
    environ : mapping
        The environment: numba's settings, and the override of the vector width.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    facts = [cpu, platform.python_version(), *libraries]
    facts += [f"vector bits {environ.get('VOLCONV_VECTOR_BITS', '')}"]
    facts += [f"{k}={v}" for k, v in sorted(environ.items()) if k.startswith("NUMBA_") and k not in _NEUTRAL_SETTINGS]
    digest.update("\n".join(facts).encode())
    return digest.hexdigest()[:20]


def source_digest() -> str:
    """Return the SHA-256 of the kernels' sources: what decides, beside the processor, which bits come out."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


class KernelCache:
    """Compiled kernels by label, in `folder` and, where that cannot be written, in a private temporary folder.

    A folder that can only be read (a cluster image made with ``volconv warmup``) is read; nothing here ever raises
    `OSError`. Without any place to write, `write` does nothing and kernels are compiled again in each process.

    Parameters
    ----------
    folder : Path or None
        The folder of one key; made on the first write.
    fallback : Path or None
        A folder another process already uses in place of an unwritable `folder`.
    """

    def __init__(self, folder: Path | None, fallback: Path | None = None) -> None:
        self.folder = folder
        self._fallback = fallback
        self._writable: Path | None = fallback
        self._tried = fallback is not None

    def read(self, label: str) -> bytes | None:
        """Return the bytes kept under `label`; None when there are none, or they are damaged."""
        for folder in (self.folder, self._fallback):
            if folder is not None and (content := _read_whole(folder / label)) is not None:
                return content
        return None

    def write(self, label: str, content: bytes) -> None:
        """Keep `content` under `label`, replacing what is there in one step."""
        folder = self.writable_folder()
        if folder is None:
            return
        part = folder / f"{label}.{uuid.uuid4().hex[:12]}.part"
        try:
            part.write_bytes(_MAGIC + hashlib.sha256(content).digest() + content)
            part.replace(folder / label)
        except OSError as error:
            note(f"compiled kernels are not kept: {error}")
            try:
                part.unlink(missing_ok=True)
            except OSError:
                _log.debug("cannot remove %s", part)

    def writable_folder(self) -> Path | None:
        """Return the folder that `write` uses, making it on the first call; None when no place can be written."""
        if not self._tried:
            self._tried = True
            self._writable = self.folder if self.folder is not None and _make_writable(self.folder) else None
            if self._writable is None:
                self._writable = self._fallback = _make_private()
                kept = "for this run only" if self._fallback else "nowhere"
                note(f"kernel cache {self.folder or '(no home folder)'} cannot be written; kernels are kept {kept}")
        return self._writable


_noted: set[str] = set()


def note(text: str) -> None:
    """Log `text` as a warning, the first time only."""
    if text not in _noted:
        _noted.add(text)
        _log.warning("%s", text)


def _read_whole(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST_BYTES
    if not content.startswith(_MAGIC) or hashlib.sha256(content[start:]).digest() != content[len(_MAGIC) : start]:
        return None
    return content[start:]


def _make_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _make_private() -> Path | None:
    try:
        folder = Path(tempfile.mkdtemp(prefix="volconv-kernels-"))
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
