"""The outermost frame: turns every exception into one line on stderr and an exit code, and signals into exceptions.

Nothing below prints an error or leaves the process.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import click

from volconv.error_codes import ERROR_CODES
from volconv.errors import Interrupted, VolconvError, io_code, show

from .console import Console

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))


_BUILT_FOR_ANOTHER = "may indicate binary incompatibility"
"""What a library says, in a `ValueError`, that was built for another version of NumPy."""


def install_signals() -> None:
    """Make the signals that end a job raise `Interrupted` in the main thread.

    One that is ignored when the process starts stays ignored: so `nohup` and a shell's background jobs want it. The
    second signal ends the process at once; it leaves a temporary file at most, never a partial output.
    """
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for other in SIGNALS:
        if signal.getsignal(other) is _interrupt:
            signal.signal(other, signal.SIG_DFL)
    raise Interrupted(signum)


def open_standard_streams() -> None:
    """Open the null device on each standard descriptor that is closed.

    Otherwise the first file opened, perhaps an output, would get the number 2 and take every message of a C library.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def guard(action: Callable[[], object], console: Console) -> int:
    """Run `action` and return the exit code; an error becomes one line, a traceback only with ``--debug``."""
    try:
        action()
        console.flush()
    except click.exceptions.Exit as finished:
        return _flushed(console, finished.exit_code)
    except BrokenPipeError:
        # Whoever read the results has gone; outputs are committed before anything is printed.
        console.discard_stdout()
    except Interrupted as stop:
        return _die(stop.signum, console)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        return _report(error, console)
    return 0


def _flushed(console: Console, code: int) -> int:
    try:
        console.flush()
    except BrokenPipeError:
        console.discard_stdout()
    except OSError as error:
        return _report(error, console)
    return code


def _report(error: BaseException, console: Console) -> int:
    text, exit_code = describe(error)
    if console.debug:
        console.error_text("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        console.error_text(text)
        return exit_code
    console.error(text)
    try:
        if console.json:
            console.print_json(_document(error, text))
        console.flush()
    except OSError:
        console.discard_stdout()
    return exit_code


def describe(error: BaseException) -> tuple[str, int]:
    """Return the message for `error`, without the program's name, and the exit code."""
    if isinstance(error, VolconvError):
        return str(error), error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), error.exit_code
    if isinstance(error, click.ClickException):
        return _usage(error), error.exit_code
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return "the memory this process may use ran out; run with a smaller --memory", 1
    if isinstance(error, OSError):
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return show(": ".join([*named, error.strerror or str(error) or type(error).__name__])), 1
    text = show(" ".join(f"{type(error).__name__}: {error}".split()))
    if isinstance(error, ImportError) or _BUILT_FOR_ANOTHER in text:
        return f"a library this needs cannot be loaded: {text}; install volconv anew", 1
    return f"internal error: {text} (run with --debug)", 1


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    text = text[:1].lower() + text[1:]
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path.split(" ", 1)[1:] if ctx is not None else []
    return show(": ".join([*command, text.rstrip(".") + _misplaced(error)]))


def _misplaced(error: click.ClickException) -> str:
    """Return where an option stands that a command does not have and `volconv` itself has, else nothing."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent is None:
        return ""
    root = error.ctx.find_root()
    known = [name for param in root.command.get_params(root) for name in param.opts]
    if error.option_name not in known:
        return ""
    program, *command = error.ctx.command_path.split(" ")
    return f"; it is given before the command: {' '.join([program, error.option_name, *command])} ..."


def error_code(error: BaseException) -> str:
    """Return the code of any error, one of `volconv.error_codes`."""
    if isinstance(error, VolconvError):
        return error.code
    if isinstance(error, click.ClickException):
        return "usage.command_line"
    if isinstance(error, MemoryError):
        return "memory.exhausted"
    if isinstance(error, OSError):
        return io_code(error)
    return "run.library" if isinstance(error, ImportError) else "run.internal"


def _document(error: BaseException, text: str) -> dict[str, object]:
    """Return what ``--json`` prints of an error; names of files stay as they are, for programs to open."""
    known = error if isinstance(error, VolconvError) else VolconvError(text)
    code = error_code(error)
    words = {"where": known.where, "found": known.found, "expected": known.expected, "message": known.message}
    shown = {key: None if word is None else show(word) for key, word in words.items()}
    return {"error": {"code": code, "file": known.file, **shown, "retry": ERROR_CODES[code].retry}}


def _die(signum: int, console: Console) -> int:
    """End by the signal itself, so that a shell sees a real signal death (128 + its number)."""
    console.error(f"stopped by {signal.Signals(signum).name}")
    with suppress(OSError):
        console.flush()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    return 128 + signum
