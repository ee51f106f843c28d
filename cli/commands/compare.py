"""`volconv compare`: are two volumes the same?"""

from __future__ import annotations

import click

from ..command import Command
from ..console import Console
from ..options import json_option
from ..tables import report

EPILOG = """\b
Examples:
  volconv compare a.nii.gz b.nii.gz
  volconv compare a.nii.gz b.h5 --atol 1e-5
"""


@click.command(cls=Command, short_help="Compare two volumes.", epilog=EPILOG)
@click.argument("a")
@click.argument("b")
@click.option("--atol", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Absolute tolerance.")
@click.option("--rtol", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Relative tolerance, of B.")
@json_option("the comparison")
@click.pass_context
def command(ctx: click.Context, a: str, b: str, atol: float, rtol: float, as_json: bool) -> None:
    """Compare the volumes A and B: largest and mean difference, and geometry. NaN equals NaN.

    Exit status 1 beyond tolerance, on another shape, or with affines more than 1e-4 mm apart.
    """
    from volconv.api.compare import compare

    console: Console = ctx.obj
    result = compare(a, b, atol=atol, rtol=rtol)
    if as_json:
        console.print_json(result.to_json())
    else:
        console.out(report(result.to_json()))
    if not result.same:
        ctx.exit(1)
