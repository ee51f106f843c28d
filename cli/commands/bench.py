"""`volconv bench`: what this machine can do, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import FORCE, json_option
from ..tables import columns

EPILOG = """\b
Examples:
  volconv bench
  volconv bench --rows 32-32,meshnet --threads 1
  volconv bench --rivals --output benchmarks.md
"""


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:  # noqa: ARG001
    return [] if value is None else [name.strip() for name in value.split(",")]


@click.command(cls=Command, short_help="Measure the machine and the engine.", epilog=EPILOG)
@click.option("--rows", metavar="NAME,...", callback=_names, help="Time these rows only. Default: all.")
@click.option("--rivals", is_flag=True, help="Also time the other libraries of the extra volconv[bench].")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Times each side is timed, at least."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads. Default: CPUs this process may use.")
@click.option("--lock", metavar="FILE", help="Hold FILE's lock while timing, so that benchmarks here take turns.")
@click.option("-o", "--output", metavar="FILE", help="Also write the tables to FILE, in Markdown.")
@FORCE
@json_option("the measurements")
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **arguments: Any) -> None:
    """Measure the machine's arithmetic peak and memory rate, and the engine on standard layers and networks.

    Every result is compared with float64; exit status 1 where one is wrong.
    """
    from volconv.api.bench.suite import bench

    console: Console = ctx.obj
    document = bench(on_event=lambda event: console.note(f"timing {getattr(event, 'name', event)}"), **arguments)
    if as_json:
        console.print_json(document)
    else:
        console.out(bench_text(document))
    if not all(row["right"] for row in document["rows"]):
        console.error("results marked 'wrong' differ from float64 by more than rounding explains")
        ctx.exit(1)


def bench_text(document: Mapping[str, Any]) -> str:
    """Return the machine's rates and the table of rows; columns that no row fills are left out."""
    from volconv.api.bench.page import PREPARED, prepared_cells

    machine = document["machine"]
    rows = [prepared_cells(row) for row in document["rows"]]
    kept = [i for i in range(len(PREPARED)) if any(row[i] != "–" for row in rows) and PREPARED[i] != "target"]
    lines = [
        f"{machine['processor']}, {document['threads']} threads, vectors of {machine['vector_bits']} bits",
        f"peak {document['peak_gflops']:.0f} GF/s (fused multiply-adds in registers)",
    ]
    if document["copy_gb_per_s"] is not None:
        lines.append(f"copy {document['copy_gb_per_s']:.1f} GB/s (read and written)")
    table = columns([[row[i] for i in kept] for row in rows], [PREPARED[i] for i in kept])
    return "\n".join([*lines, "", table])
