"""The command `volconv`: global options, the table of commands, the way out."""

from __future__ import annotations

import gc
import os
import sys
import warnings

import click

from volconv._version import __version__

from .console import Console
from .exits import install_signals, open_standard_streams
from .lazy import LazyGroup

COMMANDS = {
    "run": "run",
    "plan": "plan",
    "check": "check",
    "inspect": "inspect_file",
    "presets": "presets",
    "convert": "convert",
    "compare": "compare",
    "demo": "demo",
    "warmup": "warmup",
    "bench": "bench",
}

EPILOG = """\b
Examples:
  volconv demo
  volconv run gaussian scan.nii.gz -o smooth.nii.gz --set sigma=2mm
  volconv plan edges.yaml scan.nii.gz --memory 2GB
  volconv presets
"""


@click.group(
    name="volconv",
    cls=LazyGroup,
    modules=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on stderr.")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
@click.version_option(__version__, prog_name="volconv", message="%(prog)s %(version)s")
@click.pass_obj
def cli(console: Console, /, verbose: bool, quiet: bool, debug: bool) -> None:
    """Run 3-D convolution pipelines over medical volumes: in exact tiles, within a memory budget, on CPUs."""
    if verbose and quiet:
        raise click.UsageError("-v and -q contradict each other; give one of them")
    console.level = 1 if verbose else -1 if quiet else 0
    console.debug = debug

    def show_warning(message: Warning | str, *_args: object, **_kwargs: object) -> None:
        console.note(f"note: {message}")

    warnings.showwarning = show_warning
    _voice_log(console)


def _voice_log(console: Console) -> None:
    """Say what the package logs (an unwritable kernel cache) in the command line's own voice."""
    import logging

    class Voice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.note(f"note: {record.getMessage()}")

    log = logging.getLogger("volconv")
    log.handlers[:] = [Voice(logging.WARNING)]


def quiet_libraries() -> None:
    """Let the linear algebra beneath NumPy start no threads: nothing here is large enough, and each takes memory."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def main() -> None:
    """Run the command line of this process and leave it with the contract's exit code."""
    open_standard_streams()
    quiet_libraries()
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that no encoding knows, and a terminal may know none but ASCII.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    install_signals()
    try:
        cli.main(prog_name="volconv")
    finally:
        # The interpreter's last collections would walk through all that NumPy and Numba are made of, to free what the
        # system takes back anyway: a tenth of the time of a short run.
        gc.freeze()
