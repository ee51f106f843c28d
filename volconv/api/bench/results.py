"""From samples to the row of a table: medians, ratios within a round, and whether every result was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .exact import TOLERANCE
from .rivals.base import ENTRIES
from .rivals.process import RivalProcess
from .sides import PreparedSide, Subject


@dataclass
class Samples:
    """Seconds by side (``prepared``, ``single``, ``plain``, ``reused torch``, ``plain torch``), an entry a round.

    Rates of the machine go by ``peak`` (multiply-adds a second) and ``copy`` (bytes a second).
    """

    rounds: list[dict[str, float]] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        """Return what was measured of a side, round by round."""
        return [entry[name] for entry in self.rounds if name in entry]

    def median(self, name: str) -> float | None:
        """Return the median of a side; None where it was never measured."""
        found = self.of(name)
        return median(found) if found else None

    def ratio(self, above: str, below: str) -> float | None:
        """Return the median over rounds of one side divided by another."""
        pairs = [entry[above] / entry[below] for entry in self.rounds if above in entry and below in entry]
        return median(pairs) if pairs else None

    def product(self, time: str, rate: str) -> float:
        """Return the median over rounds of a side's seconds times a rate of the machine: what it could have done."""
        return median(entry[time] * entry[rate] for entry in self.rounds)


@dataclass(frozen=True, eq=False)
class Measured:
    """All that is known of a row once it has been timed.

    Attributes
    ----------
    subject : Subject
    prepared : PreparedSide
    samples : Samples
    errors : mapping
        Of our own sides, by name.
    children : mapping
        The rivals' processes by mode, ``reused`` and ``plain``.
    """

    subject: Subject
    prepared: PreparedSide
    samples: Samples
    errors: Mapping[str, float]
    children: Mapping[str, RivalProcess]


def describe_row(measured: Measured) -> dict[str, Any]:
    """Return the row as one JSON-able document."""
    subject, samples, errors = measured.subject, measured.samples, measured.errors
    row = subject.row
    seconds = median(samples.of("prepared"))
    plain, copy = samples.median("plain"), samples.median("copy")
    document: dict[str, Any] = {
        "row": row.name,
        "title": row.title,
        "kind": row.kind,
        "kernels": measured.prepared.kernels,
        "rounds": len(samples.rounds),
        "ms": 1e3 * seconds,
        "gflops": 2e-9 * subject.macs / seconds,
        "of_peak": subject.macs / samples.product("prepared", "peak"),
        "peak_gflops": 2e-9 * median(samples.of("peak")),
        "gb_per_s": 1e-9 * subject.nbytes / seconds,
        "of_copy": None if copy is None else subject.nbytes / samples.product("prepared", "copy"),
        "copy_gb_per_s": None if copy is None else 1e-9 * copy,
        "one_to_all_threads": samples.ratio("single", "prepared"),
        "error": errors["prepared"],
        "plain_ms": None if plain is None else 1e3 * plain,
        "plain_error": errors.get("plain"),
        "targets": {name: getattr(row.targets, name) for name in ("rival", "dense", "peak", "copy")},
        "rivals": {mode: _describe_rivals(mode, child, samples) for mode, child in measured.children.items()},
    }
    document["right"] = _all_right(document)
    return document


def _describe_rivals(mode: str, child: RivalProcess, samples: Samples) -> dict[str, Any]:
    """Return each rival's time, how many times ours it is, its error, or why there is none."""
    ours = "plain" if mode == "plain" else "prepared"
    found: dict[str, Any] = {}
    for name, error in child.errors.items():
        side = f"{mode} {name}"
        found[name] = {
            "title": ENTRIES[name].title,
            "dense": not ENTRIES[name].only_filters,
            "version": child.versions[name],
            "ms": 1e3 * median(samples.of(side)),
            "times_ours": samples.ratio(side, ours),
            "rounds": len(samples.of(side)),
            "error": error,
        }
    return found | {name: {"title": ENTRIES[name].title, "failed": why} for name, why in child.failed.items()}


def _all_right(document: Mapping[str, Any]) -> bool:
    """Return whether every error is within the tolerance; NaN is not."""
    errors = [document["error"]]
    if document["plain_error"] is not None:
        errors.append(document["plain_error"])
    errors += [r["error"] for mode in document["rivals"].values() for r in mode.values() if "error" in r]
    return all(error <= TOLERANCE for error in errors)


def best_rival(document: Mapping[str, Any], mode: str, dense: bool | None = None) -> Mapping[str, Any] | None:
    """Return the rival that comes closest to us in a row's document, `dense` ones or passes alone if asked for."""
    rivals = [r for r in document["rivals"].get(mode, {}).values() if r.get("times_ours") is not None]
    rivals = [r for r in rivals if dense is None or r["dense"] == dense]
    return min(rivals, key=lambda r: float(r["times_ours"]), default=None)
