"""A click group whose commands are imported when they are asked for, and whose errors are one line and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from .console import Console
from .exits import guard


class LazyGroup(click.Group):
    """A group that knows its commands by the module they live in.

    Parameters
    ----------
    modules : mapping
        Command name to the module, below `volconv.cli.commands`, that holds a command called ``command``.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = dict(modules or {})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table, which is the order of the help page."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command, None for an unknown name."""
        if cmd_name not in self.modules:
            return None
        module = import_module(f".commands.{self.modules[cmd_name]}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest known name in the error."""
        if args and args[0] not in self.modules and not args[0].startswith("-"):
            close = get_close_matches(args[0], self.modules, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(self.modules)}"
            ctx.fail(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit with the code the contract gives."""
        name = prog_name or "volconv"
        if (complete_var or "_VOLCONV_COMPLETE") in os.environ:
            return super().main(args, name, complete_var, standalone_mode, **extra)
        console = Console()

        def action() -> None:
            # click's own `main` ends with status 1 on a closed pipe and hides which signal came; `guard` does not.
            words = list(sys.argv[1:] if args is None else args)
            # A command line that cannot be read has no options yet, and its error is for a program all the same.
            console.json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
            with self.make_context(name, words, obj=console, **extra) as ctx:
                self.invoke(ctx)

        raise SystemExit(guard(action, console))
