"""A run's events as a person sees them."""

import os
import pty
import subprocess
import sys
import textwrap

import pytest

from volconv.cli.console import Console
from volconv.cli.progress import rate_text
from volconv.run import events

RUN = (
    events.Compiling(2),
    events.Started(2, 4_000_000, 3 * 10**8),
    events.Phase("compressing"),
    events.TileDone(0, 2_000_000),
    events.Warned("3 voxels clipped"),
    events.TileDone(1, 2_000_000),
    events.Finished(("a.nii.gz", "b.nii.gz"), 2.0),
)


@pytest.fixture
def said(capsys):
    def run(level=0):
        console = Console()
        console.level = level
        with console.progress() as listener:
            for event in RUN:
                listener(event)
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    return run


def test_plain_lines_without_a_terminal(said):
    assert said() == [
        "volconv: compiling kernels (2 kernels; done once)",
        "volconv: note: 3 voxels clipped",
        "volconv: wrote a.nii.gz, b.nii.gz in 2.00 s, 2.0 Mvoxel/s",
    ]


@pytest.mark.parametrize(
    ("speed", "text"),
    [(123_456_789, "123.5"), (1e6, "1.0"), (999_999, "1.0"), (660_000, "0.66"), (4_321, "0.0043"), (0, "0.0")],
)
def test_a_small_rate_has_digits_too(speed, text):
    assert rate_text(speed) == f"{text} Mvoxel/s"


def test_quiet(said):
    assert said(-1) == []


def test_verbose(said):
    lines = said(1)
    assert "volconv: 2 tiles, 4,000,000 voxels, peak memory 300 MB predicted" in lines
    assert "volconv: compressing" in lines


def draw(code, **environ):
    """Run `code` with stderr on a terminal; return what the terminal got and the exit status."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **environ}
    env.pop("NO_COLOR", None) if "NO_COLOR" not in environ else None
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stderr=follower, env=env) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
    os.close(leader)
    return seen.decode(), process.returncode


BAR = """
    import time
    from volconv.cli.console import Console
    from volconv.run import events
    with Console().progress() as listener:
        listener(events.Compiling(1))
        listener(events.Started(4, 4_000_000, 10**8))
        for index in range(4):
            time.sleep(0.06)
            listener(events.TileDone(index, 1_000_000))
            listener(events.Phase("[red]tiles[/red]"))
        {end}
"""


class TestTerminal:
    def test_bar_with_rate_then_one_line(self):
        text, status = draw(BAR.format(end="listener(events.Finished(('a.nii',), 1.0))"))
        assert status == 0
        assert "compiling kernels" in text
        assert "Mvoxel/s" in text
        assert "[red]tiles[/red]" in text
        assert text.rstrip().endswith("volconv: wrote a.nii in 1.00 s, 4.0 Mvoxel/s")

    def test_the_terminal_is_given_back_after_an_error(self):
        text, status = draw(BAR.format(end="raise SystemExit(3)"))
        assert status == 3
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h")

    def test_no_bar_on_a_dumb_terminal(self):
        text, _ = draw(BAR.format(end="pass"), TERM="dumb")
        assert "\x1b" not in text
        assert "%" not in text

    def test_no_colour_on_request(self):
        text, _ = draw(BAR.format(end="pass"), NO_COLOR="1")
        assert "%" in text
        assert "\x1b[3" not in text

    def test_a_terminal_of_no_width(self):
        assert draw(BAR.format(end="pass"), COLUMNS="0")[1] == 0
