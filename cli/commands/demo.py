"""`volconv demo`: a first run on the scan that comes with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import json_option


@click.command(cls=Command, short_help="Run a preset on the shipped scan.")
@json_option("a summary")
@click.pass_obj
def command(console: Console, /, as_json: bool) -> None:
    """Run a shipped preset on the shipped scan, into ./volconv-demo/, and say how to look at the result.

    What the demo wrote there before is replaced; other files there are left alone, and refused under its names.
    """
    from volconv.api.demo import demo

    with console.progress() as listener:
        document = demo(on_event=listener)
    if as_json:
        console.print_json(document)
    else:
        console.out(demo_text(document))


def demo_text(document: Mapping[str, Any]) -> str:
    """Return what was written, a picture of it, and how to look at it."""
    scan, output, preset = document["scan"], document["output"], document["preset"]
    settings = " ".join(f"--set {name}={value}" for name, value in document["settings"].items())
    pictures = document["pictures"]
    lines = [
        f"{scan}  the scan: an average brain, T1-weighted (MNI ICBM 152), 2 mm",
        f"{output}  the result of the preset '{preset}', on the same grid, in the same place",
        "",
        *side_by_side(pictures["scan"], pictures["output"]),
        "",
        "Look at them in any NIfTI viewer (FSLeyes, ITK-SNAP, mrview, 3D Slicer), one over the other:",
        f"  fsleyes {scan} {output}",
        "The same for a scan of yours, and the other presets:",
        f"  volconv run {preset} SCAN.nii.gz -o {preset}.nii.gz {settings}",
        "  volconv presets",
    ]
    return "\n".join(lines)


def side_by_side(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Return two pictures in one, without the empty lines above and below."""
    lines = [f"{before}  {after}".rstrip() for before, after in zip(left, right, strict=True)]
    return "\n".join(lines).strip("\n").split("\n")
