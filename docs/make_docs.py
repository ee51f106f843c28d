"""Writes the pages of this folder that follow from the code: `cli.md`, `presets.md`, `operators.md` and `errors.md`.

    python docs/make_docs.py

`tests/test_docs.py` fails while a page differs from what this would write.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from volconv.api.presets import list_presets
from volconv.cli.main import cli
from volconv.dialects import dialect_names
from volconv.error_codes import ERROR_CODES
from volconv.formats.atomic import write_whole
from volconv.ops.base import Op
from volconv.ops.conv_reader import WEIGHT_AND_BIAS
from volconv.ops.global_readers import GLOBAL_OPERATORS
from volconv.ops.initial import Initial
from volconv.ops.norm_reader import NORM_TENSORS
from volconv.ops.reader import Context, Dialect, OpReader
from volconv.ops.registry import get_dialect
from volconv.values import Values
from volconv.weights.generators import GENERATORS

FOLDER = Path(__file__).parent
NOTICE = "<!-- Written by docs/make_docs.py; change the code, not this page. -->"
OPERATORS_INTRODUCTION = (
    "A spec's `dialect` decides whose rules hold. Whatever a framework refuses, when its layer is made or when it is",
    "first called, is refused here before any voxel is read. n: a list of 3 (`Conv2d`, `ConvTranspose2d`: 2) whole",
    "numbers, along D, H, W. In brackets: the default. `bias` is true or false (true) in every dialect, and a bias is",
    "accepted as (O,) and as (1, O, 1, …). `Conv2d` and `ConvTranspose2d` work slice by slice over D.",
    "",
    "Example: 4 channels to 8, kernel 3, two groups where the dialect computes groups. A weights file in another",
    "framework's layout is read with `weights: {file: …, layout: NAME}`.",
    "",
)
OTHERS_INTRODUCTION = (
    "They mean the same in every dialect. `Add` and `Mul` read two stages or more, `Sub` and `Div` two, and combine",
    "them in the order of `inputs: [A, B, ...]`, each step rounded once. An input of one channel stands for every",
    "channel, and one of length 1 along an axis for every place along it, as in torch; or one stage is read, and the",
    "right operand is `value`, a number or one a channel. `Crop` takes voxels off the low and the high ends, or leaves",
    "`size` in the middle; `Flip` turns axes round, counted over (N, C, D, H, W). Voxels stay where they are in the",
    "world.",
)
WORDED_INTRODUCTION = (
    "Each dialect has its own words for the same. Axes are counted over (N, C, D, H, W): 1 is the channels, 2 to 4",
    "are D, H, W; negative ones count from the end. `Concat` joins the channels of `inputs: [A, B, ...]`. Paddings",
    "take off what is negative (not `circular`), reflect by less than the size and wrap by no more than it; voxels",
    "stay where they are in the world. `Linear` and `LayerNorm` work on the channels of each voxel, as the frameworks'",
    "layers do on arrays whose last axis is the channels; dropouts do nothing and are taken out.",
)
WORDED = (
    *("Concat", "Slice", "Pad"),
    *(f"{kind}Pad{rank}d" for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular") for rank in (2, 3)),
    *("Linear", "LayerNorm", "Dropout", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"),
)
"""Operators that mean the same in every dialect and whose parameters have names of their own there."""
GLOBAL_INTRODUCTION = (
    "Their first voxel depends on all of their input, so a run computes that first: it goes in phases, each in tiles",
    "of its own. What a later phase reads lies in memory or, where `--memory` asks for it, in the scratch folder;",
    "`plan` shows both. `y = (x − mean)/sqrt(variance + eps)·weight + bias`, mean and population variance of each",
    "group of channels over the volume (in `InstanceNorm3d` of each channel), computed as `BatchNorm3d` is. Sums of",
    "values and of squares are exact, and mean and variance are rounded once to float64, so no cutting changes a",
    "bit. A value that is not finite makes its group NaN. Each volume of a batch has its own statistics. MegEngine has",
    "such norms and pools of slices alone.",
)
NORM_INTRODUCTION = (
    "At inference: `y = (x − running_mean)/sqrt(running_var + eps)·weight + bias`, a channel at a time, so that",
    "for slices and for volumes are one. Computed as `scale·x + shift` with one rounding; scale and shift are",
    "worked out in float64. Tensors: `weight`, `bias`, `running_mean`, `running_var`, in a weights file as",
    "`NAME.running_mean` and so on; `num_batches_tracked` is not read. Behind a convolution or a sum it is",
    "applied as values are stored; before one it stays a stage of its own.",
)
ERRORS_INTRODUCTION = (
    "A command that fails says why in one line on stderr. With `--json` it also prints one document on stdout:",
    "",
    "```json",
    '{"error": {"code": "nifti.vox_offset", "file": "scan.nii", "where": "vox_offset", "found": "900",',
    '           "expected": "a place inside the file of 480 bytes", "message": "found 900, expected a place ...",',
    '           "retry": false}}',
    "```",
    "",
    "`code` is one of those below and keeps its meaning. `retry` is true where the same command can succeed later or",
    "on another machine with nothing in it changed: a job script may queue it again. `file`, `where`, `found` and",
    "`expected` are null where the message does not say them. `file` is the name as it was given; the other texts have",
    "control characters written as escapes, and none holds voxels, free text of headers or what else is in a file",
    "beyond the field or name the message is about. `volconv compare` that finds a difference ends with status 1 and",
    "prints the comparison, not an error. A process that a signal ends prints no document: its status says which.",
    "",
)
READER_FAMILIES = {
    "Pooling": "pool_reader",
    "Resampling": "resample_reader",
    "Shuffling": "pixel_shuffle_reader",
    "From scores to labels": "label_reader",
}
"""Title to the module of ``volconv.ops`` whose ``READERS`` hold, by dialect, operators with parameters of their own."""


def make_pages() -> dict[str, str]:
    """Return the text of every generated page by file name."""
    return {
        "cli.md": cli_page(),
        "presets.md": presets_page(),
        "operators.md": operators_page(),
        "errors.md": errors_page(),
    }


def errors_page() -> str:
    """Return the table of the codes of errors, a section a family."""
    lines = [NOTICE, "", "# Errors", "", *ERRORS_INTRODUCTION]
    for family in dict.fromkeys(code.partition(".")[0] for code in ERROR_CODES):
        codes = {code: entry for code, entry in ERROR_CODES.items() if code.startswith(f"{family}.")}
        rows = [
            (f"`{code}`", str(entry.exit_code), "yes" if entry.retry else "no", entry.meaning)
            for code, entry in codes.items()
        ]
        lines += [f"## {family}", "", *table(("code", "status", "retry", "meaning"), rows), ""]
    return "\n".join(lines[:-1]) + "\n"


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
    """Return the tables of operators, their parameters in each dialect, and the filter generators."""
    dialects = [get_dialect(name) for name in dialect_names()]
    names = list(dict.fromkeys(name for dialect in dialects for name in dialect.readers))
    convolutions = [name for name in names if name.startswith("Conv")]
    lines = [NOTICE, "", "# Operators", "", *OPERATORS_INTRODUCTION]
    for name in convolutions:
        lines += [f"## {name}", "", *table(("", *(d.name for d in dialects)), convolution_rows(name, dialects)), ""]
    for dialect in dialects:
        lines += [f"## The {dialect.name} dialect", "", *dialect_notes(dialect.name), ""]
    norms = [
        name for name in names if name in dialects[0].readers and dialects[0].readers[name].tensors == NORM_TENSORS
    ]
    norms = [name for name in norms if name not in GLOBAL_OPERATORS]
    lines += [*norm_section(norms, dialects), ""]
    own = [name for name in names if name in WORDED]
    title = "Stages joined, cut and widened; channels combined"
    lines += [*worded_section(title, WORDED_INTRODUCTION, own, dialects), ""]
    title = "Norms by a volume's own statistics, and global pools"
    lines += [*worded_section(title, GLOBAL_INTRODUCTION, list(GLOBAL_OPERATORS), dialects), ""]
    for title, module in READER_FAMILIES.items():
        lines += family_section(title, module, dialects)
        own += reader_names(module)
    lines += ["## Other operators", "", *OTHERS_INTRODUCTION, ""]
    rows = []
    for name, reader in dialects[0].readers.items():
        if name not in (*convolutions, *norms, *own, *GLOBAL_OPERATORS):
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


def dialect_notes(name: str) -> list[str]:
    """Return what the file of a dialect says about it, after its first line."""
    text = inspect.getdoc(import_module(f"volconv.ops.dialects.{name}")) or ""
    return text.split("\n\n", 1)[1].replace("``", "`").splitlines()


def convolution_rows(name: str, dialects: list[Dialect]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each parameter any dialect has, then what each dialect makes of an example."""
    readers = [dialect.readers[name] for dialect in dialects]
    every = dict.fromkeys(
        key for d in dialects for op in d.readers.values() if op.name.startswith("Conv") for key in op.parameters
    )
    for key in every:
        yield (f"`{key}`", *(parameter_cell(reader, key) for reader in readers))
    yield ("call without the batch axis", *("yes" if reader.unbatched else "no" for reader in readers))
    yield ("call with `output_size`", *("yes" if reader.output_size else "no" for reader in readers))
    examples = [example(reader) for reader in readers]
    for tensor in WEIGHT_AND_BIAS:
        shapes = [reader.stored_shapes(op)[tensor] for reader, op in zip(readers, examples, strict=True)]
        yield (f"shape of `{tensor}`, example", *(f"`{shape}`" for shape in shapes))
    for tensor in WEIGHT_AND_BIAS:
        drawn = [d.initial(op, tensor, r.rank) for d, r, op in zip(dialects, readers, examples, strict=True)]
        yield (f"initial `{tensor}`, example", *(distribution(initial) for initial in drawn))


def norm_section(names: list[str], dialects: list[Dialect]) -> list[str]:
    """Return the section of the normalisations: the formula, and a table of parameters."""
    has = [[name for name in names if name in dialect.readers] for dialect in dialects]
    readers = [dialect.readers[found[0]] for dialect, found in zip(dialects, has, strict=True)]
    rows = [("operators", *(", ".join(f"`{name}`" for name in found) for found in has))]
    for key in dict.fromkeys(key for reader in readers for key in reader.parameters):
        rows.append((f"`{key}`", *(parameter_cell(reader, key) for reader in readers)))
    shapes = [next(iter(r.stored_shapes(r.read(Values({}), Context(8))).values())) for r in readers]
    rows.append(("shape of each tensor, 8 channels", *(f"`{shape}`" for shape in shapes)))
    return [f"## {' and '.join(names)}", "", *NORM_INTRODUCTION, "", *table(("", *(d.name for d in dialects)), rows)]


def worded_section(title: str, introduction: Iterable[str], names: list[str], dialects: list[Dialect]) -> list[str]:
    """Return a section of operators that each dialect has words of its own for, and what those words mean."""
    rows: list[tuple[str, ...]] = []
    shared: dict[tuple[str, str], list[str]] = {}
    for name in names:
        readers = [dialect.readers.get(name) for dialect in dialects]
        rows.append((f"`{name}`", *(parameter_names(reader) for reader in readers)))
        for reader in filter(None, readers):
            for key in reader.parameters:
                of = shared.setdefault((key, parameter_cell(reader, key)), [])
                of += [f"`{name}`"] * (f"`{name}`" not in of)
    lines = [f"## {title}", "", *introduction, ""]
    lines += [*table(("", *(d.name for d in dialects)), rows), ""]
    entries = ((f"`{key}`", ", ".join(of), meaning) for (key, meaning), of in sorted(shared.items()))
    return [*lines, *table(("parameter", "of", "takes (default)"), entries)]


def parameter_names(reader: OpReader | None) -> str:
    """Return the names of an operator's parameters, or that there is no such operator."""
    return "no such" if reader is None else ", ".join(f"`{key}`" for key in reader.parameters)


def reader_names(module: str) -> list[str]:
    """Return the operators that a module of ``volconv.ops`` reads, of all dialects."""
    readers = import_module(f"volconv.ops.{module}").READERS.values()
    return list(dict.fromkeys(name for own in readers for name in own))


def family_section(title: str, module: str, dialects: list[Dialect]) -> list[str]:
    """Return the section of the operators of one module: what it says about them, and a table of parameters each."""
    text = inspect.getdoc(import_module(f"volconv.ops.{module}")) or ""
    lines = [f"## {title}", "", *text.replace("``", "`").splitlines(), ""]
    for name in reader_names(module):
        readers = [dialect.readers.get(name) for dialect in dialects]
        keys = dict.fromkeys(key for reader in readers if reader for key in reader.parameters)
        rows = [(f"`{key}`", *("–" if r is None else parameter_cell(r, key) for r in readers)) for key in keys]
        lines += [*table((f"`{name}`", *(d.name for d in dialects)), rows), ""]
    return lines


def parameter_cell(reader: OpReader, key: str) -> str:
    """Return what a dialect takes for a parameter, with its default, or why it refuses it."""
    if key not in reader.parameters:
        return f"refused: {reader.refused[key]}" if key in reader.refused else "no such key"
    entry = reader.parameters[key]
    default = str(entry.get("default", ""))
    default = default.lower() if default in ("True", "False") else default
    return f"{entry['description']} ({default})" if default else entry["description"]


def example(reader: OpReader) -> Op:
    """Return the operator of 4 to 8 channels, kernel 3, in two groups where the dialect has groups."""
    groups = 1 if reader.parameters["groups"].get("const") == 1 else 2
    values = {"in_channels": 4, "out_channels": 8, "kernel_size": 3, "groups": groups}
    return reader.read(Values(values), Context(4))


def distribution(initial: Initial) -> str:
    """Return a distribution in words."""
    scale = f"{initial.scale:.4f}"
    return {"uniform": f"uniform in ±{scale}", "normal": f"normal, sd {scale}", "zeros": "zeros"}[initial.kind]


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
        write_whole(FOLDER / name, text.encode(), force=True)


if __name__ == "__main__":
    main()
