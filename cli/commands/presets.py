"""`volconv presets`: the pipelines that come with the package."""

from __future__ import annotations

import click

from ..console import Console
from ..options import FORCE, json_option
from ..tables import columns

EPILOG = """\b
Examples:
  volconv presets
  volconv presets show gaussian
  volconv presets copy gaussian mine.yaml
"""


@click.group(invoke_without_command=True, epilog=EPILOG)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show or copy the shipped presets."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@command.command("list")
@json_option("the list")
@click.pass_obj
def list_command(console: Console, /, as_json: bool) -> None:
    """List the presets with their parameters (what `volconv presets` does)."""
    from volconv.api.presets import list_presets

    presets = list_presets()
    if as_json:
        console.print_json(presets)
        return
    rows = [[entry["name"], entry["description"], parameters_text(entry["parameters"])] for entry in presets]
    console.out(columns(rows, ["preset", "does", "parameters"]))


@command.command("show")
@click.argument("name")
@click.pass_obj
def show_command(console: Console, /, name: str) -> None:
    """Print the text of the preset NAME."""
    from volconv.api.presets import show_preset

    console.out(show_preset(name).rstrip("\n"))


@command.command("copy")
@click.argument("name")
@click.argument("dest")
@FORCE
@click.pass_obj
def copy_command(console: Console, /, name: str, dest: str, force: bool) -> None:
    """Copy the preset NAME to the file or folder DEST, to change it."""
    from volconv.api.presets import copy_preset

    console.note(f"wrote {copy_preset(name, dest, force=force)}")


def parameters_text(parameters: list[dict[str, object]]) -> str:
    """Return parameters and their defaults as one types them."""
    return " ".join(f"{entry['name']}={entry['default']}" for entry in parameters) or "-"
