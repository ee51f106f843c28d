"""A command that takes each option which names a file once, unless it is one that is meant to be repeated."""

from __future__ import annotations

import click

_FILES = ("output", "weights", "mask")


class Command(click.Command):
    """A command of which no file silently takes the place of another one.

    Of other options the last one counts, as a script's own are meant to be overruled by those it is given.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; a file that is named twice is an error."""
        given = list(args)  # parsing uses `args` up
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            self._refuse_repeated(ctx, given)
        return rest

    def _refuse_repeated(self, ctx: click.Context, args: list[str]) -> None:
        _, _, order = self.make_parser(ctx).parse_args(args)
        for param in order:
            times = order.count(param)
            if param.name in _FILES and times > 1:
                raise click.BadParameter(f"it is given {times} times, expected once", ctx, param)
