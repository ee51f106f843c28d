"""Shows a run's events: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .tables import size_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from .console import Console


class Progress:
    """A listener for the events of `volconv.run.events`; any thread may call it.

    Parameters
    ----------
    console : Console
        Where lines go, and whether a bar may be drawn.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Bar | None = None
        self.task: Any = None
        self.voxels = 0

    def __call__(self, event: object) -> None:
        """Show `event`; a terminal that is gone is no error."""
        with suppress(OSError):
            self._show(event)

    def _show(self, event: object) -> None:
        from volconv.run import events

        match event:
            case events.Compiling(kernels=count):
                self._compiling(count)
            case events.Started(tiles=tiles, voxels=voxels, peak_bytes=peak):
                self._started(tiles, voxels, peak)
            case events.TileDone(voxels=voxels) if self.bar is not None:
                self.bar.advance(self.task, voxels)
            case events.Phase(name=name):
                self._phase(name)
            case events.Warned(message=message):
                self.console.note(f"note: {message}")
            case events.Finished(outputs=outputs, seconds=seconds):
                self._finished(outputs, seconds)

    def stop(self) -> None:
        """Take the bar away and give the terminal back as it was."""
        bar, self.bar = self.bar, None
        if bar is not None:
            with suppress(OSError):
                bar.stop()

    def _compiling(self, count: int) -> None:
        kernels = "1 kernel" if count == 1 else f"{count} kernels"
        text = f"compiling kernels ({kernels}; done once)"
        if self.bar is None:
            self.console.note(text)
        else:
            self.bar.update(self.task, description="compiling kernels")

    def _started(self, tiles: int, voxels: int, peak_bytes: int) -> None:
        self.voxels = voxels
        word = "tile" if tiles == 1 else "tiles"
        self.console.note(f"{tiles} {word}, {voxels:,} voxels, peak memory {size_text(peak_bytes)} predicted", 1)
        if self.console.draws:
            self.stop()
            self.bar = make_bar()
            self.task = self.bar.add_task("tiles", total=voxels)
            self.bar.start()

    def _phase(self, name: str) -> None:
        if self.bar is not None:
            from rich.markup import escape

            self.bar.update(self.task, description=escape(name))
        else:
            self.console.note(name, 1)

    def _finished(self, outputs: tuple[str, ...], seconds: float) -> None:
        self.stop()
        rate = f", {rate_text(self.voxels / seconds)}" if self.voxels and seconds > 0 else ""
        self.console.note(f"wrote {', '.join(map(str, outputs))} in {seconds:.2f} s{rate}")


def rate_text(speed: float) -> str:
    """Return voxels a second in millions: one decimal, below 1 two significant digits."""
    rate = speed / 1e6
    return f"{rate:.1f} Mvoxel/s" if rate >= 1 else f"{rate:#.2g} Mvoxel/s"


def make_bar() -> Bar:
    """Return a bar on stderr with share done, rate in megavoxels a second, and time left."""
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Megavoxels a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate_text(speed))

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        Rate(),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
        transient=True,
    )
