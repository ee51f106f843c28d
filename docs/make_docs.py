"""Writes the pages of this folder that follow from the code: `cli.md`, `presets.md` and `operators.md`.

    python docs/make_docs.py

`tests/test_docs.py` fails while a page differs from what this would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from volconv.api.presets import list_presets
from volconv.cli.main import cli
from volconv.ops.registry import get_dialect
from volconv.weights.generators import GENERATORS

FOLDER = Path(__file__).parent
NOTICE = "<!-- Written by docs/make_docs.py; change the code, not this page. -->"


def make_pages() -> dict[str, str]:
    """Return the text of every generated page by file name."""
    return {"cli.md": cli_page(), "presets.md": presets_page(), "operators.md": operators_page()}


def cli_page() -> str:
    """Return the reference of the command line."""
    lines = [NOTICE, "", "# Command line", "", "```", "volconv [-v|-q] [--debug] COMMAND ...", "```", ""]
    lines += [cli.help or "", "", *option_table(cli)]
    for name, command in commands(cli):
        lines += ["", f"## volconv {name}", "", "```", usage(name, command), "```", "", *paragraphs(command)]
        lines += option_table(command)
        if command.epilog:
            lines += ["", "```", *example_lines(command.epilog), "```"]
    return "\n".join(lines) + "\n"


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command below `group` with its full name, groups before their commands."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


def usage(name: str, command: click.Command) -> str:
    """Return the line that shows how the command is called."""
    words = [f"volconv {name}"]
    for param in command.params:
        if isinstance(param, click.Argument):
            word = param.metavar or (param.name or "").upper()
            words.append(word if param.required else f"[{word}]")
        elif param.required:
            words.append(f"{param.opts[0]} {value_of(param)}")
    words.append("[COMMAND]" if isinstance(command, click.Group) else "[OPTIONS]")
    return " ".join(words)


def paragraphs(command: click.Command) -> list[str]:
    """Return the help text, a paragraph a line, each followed by an empty line."""
    out = []
    for paragraph in (command.help or "").split("\n\n"):
        out += [" ".join(paragraph.split()), ""]
    return out


def option_table(command: click.Command) -> list[str]:
    """Return a Markdown table of the command's options."""
    options = [param for param in command.params if isinstance(param, click.Option)]
    if not options:
        return []
    rows = [
        (f"`{', '.join(param.opts)}{spaced(value_of(param))}`".replace("|", "\\|"), help_of(param)) for param in options
    ]
    return table(("option", "meaning"), rows)


def value_of(param: click.Parameter) -> str:
    """Return what stands for the option's value, empty for a flag."""
    if isinstance(param, click.Option) and param.is_flag:
        return ""
    if isinstance(param.type, click.Choice) and len(param.type.choices) < 5:
        return "|".join(map(str, param.type.choices))
    if param.metavar:
        return param.metavar
    return "NUMBER" if isinstance(param.type, click.types.FloatParamType) else param.type.name


def help_of(param: click.Option) -> str:
    """Return the option's help with its default."""
    default = f" Default: {param.default}." if param.show_default and param.default is not None else ""
    return f"{param.help or ''}{default}".strip()


def example_lines(epilog: str) -> list[str]:
    """Return the commands of an epilog."""
    return [line.strip() for line in epilog.splitlines() if line.strip().startswith("volconv")]


def presets_page() -> str:
    """Return the table of the presets and their parameters."""
    lines = [NOTICE, "", "# Presets", "", "`volconv run PRESET INPUT -o OUTPUT --set NAME=VALUE`", ""]
    entries = list_presets()
    lines += table(("preset", "does", "parameters"), [summary(entry) for entry in entries])
    for entry in entries:
        if entry["parameters"]:
            lines += ["", f"## {entry['name']}", "", f"{entry['description'].rstrip('.')}.", ""]
            lines += table(("parameter", "default", "meaning"), [parameter(p) for p in entry["parameters"]])
    return "\n".join(lines) + "\n"


def summary(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Return a preset's row in the table of all."""
    names = ", ".join(f"`{p['name']}`" for p in entry["parameters"])
    return f"`{entry['name']}`", entry["description"], names or "–"


def parameter(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Return a parameter's row."""
    return f"`{entry['name']}`", f"`{entry['default']}`", entry["help"] or "–"


def operators_page() -> str:
    """Return the tables of operators and filter generators with their parameters."""
    lines = [NOTICE, "", "# Operators", "", "Names, defaults and rules of the torch dialect.", ""]
    rows = []
    for name, reader in get_dialect("torch").readers.items():
        keys = ", ".join(f"`{key}`" for key in reader.parameters) or "–"
        tensors = ", ".join(f"`{tensor}`" for tensor in reader.tensors) or "–"
        rows.append((f"`{name}`", keys, tensors))
    lines += table(("operator", "parameters", "weights"), rows)
    lines += ["", "# Filter generators", "", "F: filters a channel, in 3-D and (in `Conv2d`) in 2-D.", ""]
    generators = [
        (f"`{name}`", entry.summary, ", ".join(map(generator_parameter, entry.parameters)) or "–", filters(entry))
        for name, entry in GENERATORS.items()
    ]
    return "\n".join(lines + table(("generator", "taps", "parameters (default)", "F"), generators)) + "\n"


def generator_parameter(entry: Any) -> str:
    """Return a generator's parameter with its default."""
    return f"`{entry.name}`" if entry.default is None else f"`{entry.name}` ({entry.default})"


def filters(entry: Any) -> str:
    """Return how many filters a generator gives."""
    return f"{entry.filters_3d}, {entry.filters_2d}"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"| {' | '.join('---' for _ in header)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def spaced(text: str) -> str:
    """Return `text` after a space, or nothing."""
    return f" {text}" if text else ""


def main() -> None:
    """Write every page."""
    for name, text in make_pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
