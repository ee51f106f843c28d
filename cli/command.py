"""A command that takes each option once, unless it is one that is meant to be repeated."""

from __future__ import annotations

import click


class Command(click.Command):
    """A command of which no option's value silently takes the place of an earlier one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; an option of one value that is given again is an error."""
        given = list(args)  # parsing uses `args` up
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            self._refuse_repeated(ctx, given)
        return rest

    def _refuse_repeated(self, ctx: click.Context, args: list[str]) -> None:
        _, _, order = self.make_parser(ctx).parse_args(args)
        for param in order:
            if isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count):
                times = order.count(param)
                if times > 1:
                    raise click.BadParameter(f"it is given {times} times, expected once", ctx, param)
