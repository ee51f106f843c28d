"""`volconv check`: is a spec, and are its weights, in order?"""

from __future__ import annotations

from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import SET, WEIGHTS, json_option, read_settings
from ..tables import report

EPILOG = """\b
Examples:
  volconv check edges.yaml
  volconv check --schema > volconv.schema.json
"""


@click.command(cls=Command, short_help="Check a spec and its weights.", epilog=EPILOG)
@click.argument("spec", required=False)
@WEIGHTS
@SET
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the spec format and stop.")
@json_option("the report")
@click.pass_obj
def command(console: Console, /, spec: str | None, schema: bool, as_json: bool, **arguments: Any) -> None:
    """Check the pipeline SPEC and its weights, without a volume."""
    if schema:
        if spec is not None:
            raise click.UsageError(f"--schema describes the format and takes no SPEC, found {spec!r}")
        from volconv.api.check import schema as make_schema

        console.print_json(make_schema())
        return
    if spec is None:
        raise click.UsageError("no SPEC given; expected a spec file, the name of a preset, or --schema")
    from volconv.api.check import check

    document = check(spec, **read_settings(arguments))
    if as_json:
        console.print_json(document)
    else:
        console.out(report(document))
