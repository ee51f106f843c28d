"""Hold the memory that runs take against `--memory`: predicted and real peaks of real processes.

    python -m benchmarks.memory [--only WORD] [--after NAME] [--threads N] [--folder DIR] [--cold]

Every case of `benchmarks.memory_cases` runs under two budgets: 12 MiB above the smallest that its plan accepts, and
1 GiB. The real peak is the largest resident size, as the system counts it, of the process and of those it
started. Kernels are compiled by the first run that needs them; `--cold` compiles everything anew, which takes long.
Exits with 1 if a run took more than its budget.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import volconv
from benchmarks.memory_cases import CASES, Case, write_mask, write_volume
from volconv.errors import BudgetError
from volconv.plan.model import Plan

MIB = 2**20
COMFORTABLE = 1024 * MIB
_ROOM = 12 * MIB
"""More than the smallest budget: as tight, and in fewer tiles. Where that would take long, twice as much, and so on."""
_LONGEST_SECONDS = 8
"""Of a plan, as it reckons."""
_LAUNCHER = """import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=sys.stderr)
"""
"""A process starts out with the peak of the one that started it, so a small one starts those that are measured."""


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes
    ----------
    name : str
        Of the case.
    tight : bool
        Whether the budget is near the smallest.
    budget, predicted, real : int
        Bytes.
    tiles : int
    """

    name: str
    tight: bool
    budget: int
    predicted: int
    real: int
    tiles: int

    @property
    def ratio(self) -> float:
        """Predicted to real."""
        return self.predicted / self.real


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--after", default="", help="the case before the first one that is measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the volumes go for the time being; default: the system's")
    parser.add_argument("--cold", action="store_true", help="compile the kernels of every run anew")
    options = parser.parse_args()
    print(f"{'pipeline':32} {'budget':>7} {'predicted':>10} {'real':>6} {'ratio':>6} {'tiles':>6}   MiB")
    broken = 0
    names = ["", *(case.name for case in CASES)]
    for case in CASES[names.index(options.after) :]:
        if options.only in case.name:
            for row in measure(case, options.threads, options.folder, options.cold):
                over = row.real > row.budget
                broken += over
                print(
                    f"{row.name:32} {row.budget / MIB:7.0f} {row.predicted / MIB:10.0f} {row.real / MIB:6.0f} "
                    f"{row.ratio:6.2f} {row.tiles:6}{'   OVER' if over else ''}",
                    flush=True,
                )
    print(f"{broken} over their budget")
    return min(broken, 1)


def measure(case: Case, threads: int, folder: str | None = None, cold: bool = False) -> Iterable[Measured]:
    """Yield the runs of `case`, the one with room to compile first."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        (place / "spec.json").write_text(json.dumps(case.spec))
        write_volume(place / f"scan.{case.source}", case.source, case.shape)
        if case.mask:
            write_mask(place / "mask.nii", case.shape)
        cache = place / "cache" if cold else None
        for tight, budget in ((False, COMFORTABLE), (True, tight_budget(case, place, threads))):
            summary, real = run_once([*case.words(place), "--force"], budget, threads, cache)
            yield Measured(case.name, tight, budget, summary["peak_bytes"], real, summary["tiles"])


def tight_budget(case: Case, folder: Path, threads: int) -> int:
    """Return little more than the bytes that a refusal of `case` names, in which it does not take long."""
    settings = {"threads": threads, "output": str(folder / case.output), **_options_of(case, folder)}

    def plan(memory: int) -> Plan:
        return volconv.plan(folder / "spec.json", folder / f"scan.{case.source}", memory=memory, **settings)

    try:
        smallest = plan(1).peak_bytes
    except BudgetError as error:
        smallest = error.needed
    room = _ROOM
    while plan(smallest + room).seconds > _LONGEST_SECONDS:
        room *= 2
    return smallest + room


def _options_of(case: Case, folder: Path) -> dict[str, Any]:
    """Return the options of `case` that a plan counts, as `volconv.plan` takes them."""
    words = case.words(folder)[4:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    options: dict[str, Any] = {name[2:]: value for name, value in given.items()}
    if "save" in options:
        stage, _, path = options["save"].partition("=")
        options["save"] = {stage: path}
    return options


def run_once(words: list[str], budget: int, threads: int, cache: Path | None) -> tuple[dict[str, int], int]:
    """Run ``volconv run`` and return its summary and the peak in bytes."""
    command = ["-m", "volconv", "-q", "run", *words, "--memory", str(budget), "--threads", str(threads), "--json"]
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", _LAUNCHER, *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(Path(volconv.__file__).parent.parent)}
        | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}),
    )
    status, peak = done.stderr.splitlines()[-1].split()
    if status != "0":
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout), int(peak) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
