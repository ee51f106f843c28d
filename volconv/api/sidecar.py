"""The sidecar: how the outputs of a run were made, as JSON beside the first of them, with a digest of every file.

Its first keys are those of BIDS (https://bids-specification.readthedocs.io/en/stable/derivatives/introduction.html).
Absolute paths would tell of users and hosts, and are never in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..formats.input_file import InputFile
from ..kernels.cache import source_digest
from .job import Job
from .options import Options
from .provenance import format_record, value_options
from .targets import sidecar_path

SIDECAR_FORMAT = 1
_LONGEST = 1 << 26  # bytes of a JSON file that may be a sidecar


def make_sidecar(job: Job, summary: Mapping[str, Any], places: Mapping[Path, Path]) -> dict[str, Any]:
    """Return the sidecar of a run whose outputs are complete; each is read for its digest.

    Parameters
    ----------
    job : Job
    summary : mapping
        What is said of the run.
    places : mapping
        Where the outputs' files lie while they do not bear their names yet.
    """
    folder, record, plan = sidecar_path(job.targets).parent.absolute(), summary["record"], summary["plan"]
    return {
        **summary,
        "format": SIDECAR_FORMAT,
        "GeneratedBy": [{"Name": "volconv", "Version": __version__, "KernelSource": source_digest()}],
        "Sources": _list_sources(job, record),
        "spec": record["spec"],
        "weights": list(_list_weights(job, record)),
        "command": list_words(job.named, job.options, folder),
        "outputs": [_describe_output(entry, folder, places) for entry in summary["outputs"]],
        "plan_sha256": hashlib.sha256(format_record(plan).encode("utf-8", "surrogateescape")).hexdigest(),
    }


def list_words(named: tuple[str, ...], options: Options, folder: Path) -> list[str]:
    """Return a command line that does the same, without options that change nothing of the output.

    Parameters
    ----------
    named : tuple of str
        Spec, inputs, output.
    options : Options
    folder : Path
        Absolute paths inside it become relative to it; of others only the name is left.
    """

    def bare(path: Any) -> str:
        return strip_path(str(path), folder)

    spec, *inputs, output = named
    words = ["volconv", "run", bare(spec), *map(bare, inputs), "-o", bare(output)]
    given = value_options(options)
    for stage, path in options.save.items():
        words += ["--save", f"{stage}={bare(path)}"]
    for name, value in given.pop("set", {}).items():
        words += ["--set", f"{name}={json.dumps(value) if isinstance(value, list) else value}"]
    if options.weights is not None:
        words += ["-w", bare(options.weights)]
    if options.mask is not None:
        words += ["--mask", bare(options.mask)]
    for name, value in given.items():
        if name not in ("weights", "mask"):
            words += [
                f"--{name.replace('_', '-')}",
                ",".join(map(str, value)) if isinstance(value, list) else str(value),
            ]
    return words


def strip_path(text: str, folder: Path) -> str:
    """Return the path `text` as it is if relative, else relative to `folder` if it lies inside, else its name."""
    path = Path(text)
    if not path.is_absolute():
        return text
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def find_digest(path: Path, record: Mapping[str, Any]) -> tuple[Path, int, str] | None:
    """Return the sidecar that tells of the output file `path`, and its size and SHA-256 there; None without one.

    A sidecar of another run, or of an output of the same name elsewhere, has another `record` and says nothing of it.
    """
    own = path.name.partition(".")[0]
    beside = sorted(path.parent.glob("*.json"), key=lambda p: (p.stem != own, p.name))
    for candidate in beside:
        for name, size, digest in _read_digests(candidate, record):
            if name == path.name:
                return candidate, size, digest
    return None


def _read_digests(path: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Yield name, size and SHA-256 of every file that `path` tells of, if it is a sidecar; nothing if it is not."""
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST:
            return
        document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(document, dict) or document.get("format") != SIDECAR_FORMAT or "GeneratedBy" not in document:
        return
    told, outputs = document.get("record"), document.get("outputs")
    if not isinstance(told, dict) or {**told, "output": None} != {**record, "output": None}:
        return  # of another run
    stages = record["output"] if isinstance(record.get("output"), list) else [record.get("output")]
    for output in outputs if isinstance(outputs, list) else []:
        if not isinstance(output, dict) or output.get("stage") not in stages:
            continue
        for file in output["files"] if isinstance(output.get("files"), list) else []:
            if isinstance(file, dict) and isinstance(file.get("size"), int):
                yield str(file.get("name")), file["size"], str(file.get("sha256"))


def digest_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of the file at `path`, which is read to its end."""
    file = InputFile(path)
    try:
        digest = hashlib.sha256()
        file.update_digest(digest)
        return file.size, digest.hexdigest()
    finally:
        file.close()


def _describe_output(entry: Mapping[str, Any], folder: Path, places: Mapping[Path, Path]) -> dict[str, Any]:
    files = []
    for path in map(Path, entry["files"]):
        size, digest = digest_file(places.get(path, path))
        files.append({"name": path.name, "size": size, "sha256": digest})
    return {**entry, "path": strip_path(entry["path"], folder), "files": files}


def _list_sources(job: Job, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name, size and SHA-256 of every volume that was read; of a pair both halves count."""
    sources = getattr(job.source, "sources", [job.source])
    return [
        {**entry, "size": sum(path.stat().st_size for path in source.paths)}
        for entry, source in zip(record["inputs"], sources, strict=True)
    ]


def _list_weights(job: Job, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield name and SHA-256 of every weights file, and the SHA-256 of each tensor that was taken from it."""
    loader = job.loader
    for path, entry in zip(loader.files, record["weights"], strict=True):
        tensors = {}
        for (file, prefix), store in loader.stores.items():
            for name in store if file == path else ():
                if (path, prefix + name) in loader.used and store.info(name).is_numeric:
                    values = np.ascontiguousarray(store[name])
                    tensors[prefix + name] = {
                        "shape": list(values.shape),
                        "dtype": values.dtype.name,
                        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
                    }
        yield {**entry, "tensors": tensors}
