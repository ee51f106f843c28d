"""Write what the convolution kernels are made of and what memory they take: docs/kernels.md.

    python -m benchmarks.kernels_page [--output docs/kernels.md]

Compiles every kernel afresh, twice: for this processor and for one of 256-bit vectors. Times nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.assembly import main_loops
from benchmarks.kernel_layers import LAYERS, block_of
from benchmarks.kernel_memory import measure_memory
from volconv.api.bench.machine import describe_machine, describe_versions, today
from volconv.formats.atomic import write_whole
from volconv.kernels.catalog import choose_conv

_NARROW = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt,+lzcnt",
    "VOLCONV_VECTOR_BITS": "256",
}
"""Settings under which kernels are compiled for a processor of 16 registers of 256 bits, whatever the processor."""
_LOOPS_HEAD = (
    "kernel", "layer", "block", "registers", "multiply-adds", "loads", "of them folded", "loads a multiply-add",
    "stores", "spills", "others",
)  # fmt: skip
_MEMORY_HEAD = ("kernel", "layer", "scratch a thread", "asked for", "resident", "written", "weights", "kept")
_LOOPS_TEXT = """\
## Inner loops

One round of the loops that hold no other and do a register block's products once or more (LLVM may unroll them). A
block is voxels, tiles or vectors of voxels × vectors of output channels, output channels or output rows. Loads are
whole vectors and broadcast values, those that a multiply-add reads itself (folded) among them; spills are vectors
written to the stack or read from there; others are addresses, counters, jumps, prefetches and shuffles. Layers that
share a kernel have the same loop.

Where a kernel has several such loops: `rows` takes runs of loads that both of its rows use, then runs that one uses;
`sweep` has those of the middle taps and of few taps along d and h, the first and last taps of these, which store their
rows, and the taps along w. `depthwise` takes three taps along w at once, or one where they are not neighbours: a round
goes one of the two ways, and the table counts both."""
_MEMORY_TEXT = """\
## Memory

In float32, one thread; as many times as much for more. `volconv plan` counts the scratch and the packed weights as
predicted here, in bytes. *Asked for* is what the bound kernel asks; *resident* are the pages of it that a run over a
large box writes to, *written* the values (rows are padded, so that they do not share cache sets). *Kept* is what the
bound weights take. How much of the room `sweep` fills depends on how whole pieces fit the box.

Other kernels have no scratch: their sums stay in registers."""


def loop_rows() -> list[list[str]]:
    """Return the table of inner loops, for the processor that numba compiles for."""
    rows = []
    for layer in LAYERS:
        kernel = choose_conv(layer.shape)
        for n, loop in enumerate(main_loops(layer.shape)):
            counts = (loop.fused, loop.loads, loop.folded, f"{loop.loads / loop.fused:.2f}", loop.stores, loop.spills)
            names = (kernel.name, layer.name, block_of(kernel)) if n == 0 else ("", "", "")
            rows.append([*names, loop.register, *map(str, counts), str(loop.others)])
    return rows


def memory_rows() -> list[list[str]]:
    """Return the table of memory."""
    rows = []
    for layer in LAYERS:
        found = measure_memory(layer, 1)
        scratch = ["0", "0", "", ""]
        if found.asked:
            shares = (f"{100 * part / found.asked:.0f} %" for part in (found.pages, found.written))
            scratch = [str(found.predicted), str(found.asked), *shares]
        rows.append([choose_conv(layer.shape).name, layer.name, *scratch, str(found.packed), str(found.kept)])
    return rows


def _narrow_rows() -> list[list[str]]:
    code = "import json; from benchmarks.kernels_page import loop_rows; print(json.dumps(loop_rows()))"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {**os.environ, **_NARROW, "PYTHONPATH": paths}
    found = subprocess.run([sys.executable, "-c", code], env=settings, check=True, capture_output=True, text=True)
    rows: list[list[str]] = json.loads(found.stdout)
    return rows


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """Return a table whose first `words` columns are text and the others numbers."""
    rules = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rules, *rows))


def make_page() -> str:
    """Return the page."""
    machine, versions = describe_machine(), describe_versions()
    built = ", ".join(f"{name} {number}" for name, number in versions.items())
    head = (
        "# The convolution kernels\n\n"
        f"Written by `python -m benchmarks.kernels_page`, {today()}: {machine['processor']}, vectors of "
        f"{machine['vector_bits']} bits; {built}."
    )
    loops, narrow = loop_rows(), _narrow_rows()
    return "\n\n".join(
        [
            head,
            _LOOPS_TEXT,
            _table(_LOOPS_HEAD, loops, 4),
            "The same compiled for a processor of 16 registers of 256 bits (AVX2):",
            _table(_LOOPS_HEAD, narrow, 4),
            _MEMORY_TEXT,
            _table(_MEMORY_HEAD, memory_rows(), 2) + "\n",
        ]
    )


def main() -> None:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write; printed if left out")
    options = parser.parse_args()
    page = make_page()
    if options.output is None:
        print(page, end="")
    else:
        write_whole(options.output, page.encode(), force=True)


if __name__ == "__main__":
    main()
