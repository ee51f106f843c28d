"""Options that several commands share, each with one spelling, and the types that read them.

A value that cannot be read is an error of the command line (exit 2), found before anything heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from volconv.errors import UsageError
from volconv.settings import parse_size

F = TypeVar("F", bound=Callable[..., Any])

DTYPES = [*(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("u", "")), "float16", "float32", "float64"]


class Triple(click.ParamType):  # type: ignore[type-arg]
    """Three numbers ``D,H,W``.

    Parameters
    ----------
    whole : bool
        True: whole numbers of at least 1, or the word ``whole``; False: finite numbers above 0.
    """

    name = "D,H,W"

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.number: type[int] | type[float] = int if whole else float

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a tuple of three numbers, or ``"whole"``."""
        if not isinstance(value, str) or (self.whole and value == "whole"):
            return value
        try:
            numbers = tuple(self.number(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(number > 0 and math.isfinite(number) for number in numbers):
            kind = (
                "three whole numbers of at least 1 such as 64,64,64, or 'whole'"
                if self.whole
                else ("three numbers of millimetres above 0 such as 3,0.5,0.5")
            )
            self.fail(f"found {value!r}, expected {kind}", param, ctx)
        return numbers


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes; kept as text, for the budget is worked out where it is used."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return `value` if it spells a size."""
        try:
            parse_size(value)
        except UsageError as error:
            self.fail(error.message, param, ctx)
        return value


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """``NAME=VALUE``, as a pair of texts."""

    def __init__(self, left: str, right: str) -> None:
        self.name = f"{left}={right}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name and the value."""
        if not isinstance(value, str):
            return value
        name, equals, text = value.partition("=")
        if not (name and equals and text):
            self.fail(f"found {value!r}, expected {self.name}", param, ctx)
        return name, text


def _pairs(ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
    names = [name for name, _ in value]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given {names.count(name)} times, expected once", ctx, param)
    return dict(value) or None


def _json(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: ARG001
    if ctx.obj is not None:
        ctx.obj.json = value
    return value


def apply(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator for many; the help lists them in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def json_option(what: str) -> Callable[[F], F]:
    """``--json``: one document on stdout, errors included."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=_json, help=f"Print {what} as one JSON document."
    )


SET = click.option(
    "--set", "settings", type=Assignment("NAME", "VALUE"), multiple=True, callback=_pairs,
    help="Set a parameter of the spec; VALUE as in YAML, lengths with a unit: sigma=2mm. Repeatable.",
)  # fmt: skip
WEIGHTS = click.option("-w", "--weights", metavar="FILE", help="Weights file, in place of the one the spec names.")
AXES = click.option("--axes", metavar="AXES", help="Axes of an HDF5 dataset that does not say, such as zyx or zyxc.")
SPACING = click.option(
    "--spacing", type=Triple(whole=False), help="Millimetres between voxels, for inputs that do not say."
)
DTYPE = click.option("--dtype", type=click.Choice(DTYPES), metavar="NAME", help="Type of the output file's voxels.")
CHANNELS = click.option(
    "--channels", type=click.Choice(["4d", "vector", "split"]), default="4d", show_default=True,
    help="Channels in NIfTI: (x,y,z,c); (x,y,z,1,c) with vector intent; one 3-D file a channel.",
)  # fmt: skip
FORCE = click.option("--force", is_flag=True, help="Replace an output that exists; of an HDF5 file, all of it.")

VALUES = (
    click.option(
        "--save", type=Assignment("STAGE", "PATH"), multiple=True, callback=_pairs,
        help="Also write the result of STAGE. Repeatable.",
    ),
    WEIGHTS,
    click.option("--mask", metavar="FILE", help="Mask volume, in place of the one the spec names."),
    SET,
    AXES,
    SPACING,
)  # fmt: skip

RESOURCES = (
    click.option(
        "--memory", type=Size(), help="Memory budget: 2GB, 512MiB. Default: half of what this process may use."
    ),
    click.option("--scratch", metavar="DIR", help="Scratch folder. Default: OUTPUT.volconv/."),
    click.option("--tile", type=Triple(whole=True), metavar="D,H,W|whole", help="Output size of a tile."),
    click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", help="Threads. Default: CPUs this process may use."
    ),
)  # fmt: skip

OUTPUTS = (
    click.option(
        "--algorithm", type=click.Choice(["auto", "direct"]), default="auto", show_default=True,
        help="How convolutions are summed: auto may factor filters and share products, direct sums every product.",
    ),
    click.option(
        "--output-type", type=click.Choice(["features", "softmax", "argmax"]),
        help="What is written, where the spec leaves it open.",
    ),
    DTYPE,
    CHANNELS,
    FORCE,
    click.option("--skip-existing", is_flag=True, help="Do nothing if the output is whole and would come out equal."),
    click.option(
        "--resume", is_flag=True,
        help="Keep finished tiles in the scratch folder; finish what an earlier run with --resume has left there.",
    ),
    click.option("--depfile", metavar="FILE", help="Write a Make rule: the output depends on all that was read."),
    click.option("--sidecar", is_flag=True, help="Write the output's record as JSON beside it."),
)  # fmt: skip


def pipeline_options(output_required: bool) -> Callable[[F], F]:
    """SPEC, INPUT and every option that `run` and `plan` share."""
    return apply(
        click.argument("spec"),
        click.argument("inputs", nargs=-1, required=True, metavar="INPUT..."),
        click.option("-o", "--output", metavar="PATH", required=output_required, help="The output volume."),
        *VALUES,
        *RESOURCES,
        *OUTPUTS,
    )


def read_settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return `arguments` with the texts of ``--set`` read as YAML values."""
    if not arguments.get("settings"):
        return arguments
    from volconv.api.arguments import parse_settings

    return {**arguments, "settings": parse_settings(arguments["settings"])}
