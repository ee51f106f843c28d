"""The one error family of the package; every leaf carries the exit code the shell sees.

Knows nothing of files, terminals or exit: it only carries what was found, where, and what was expected.
"""

from __future__ import annotations


class VolconvError(Exception):
    """Root of every error raised on purpose.

    Parameters
    ----------
    message : str
        What was found, what was expected, what to do: one sentence, no line breaks.
    file : str, optional
        The file the message is about, as the user named it.
    where : str, optional
        The place inside that file: ``line 3, column 7: stages[0].stride``, a header field, a dataset.
    """

    exit_code = 1

    def __init__(self, message: str, *, file: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.where = where

    def __str__(self) -> str:
        return ": ".join(show(part) for part in (self.file, self.where, self.message) if part)


class UsageError(VolconvError, ValueError):
    """The command line (or a function's arguments) asks for something that cannot be."""

    exit_code = 2


class OutputError(UsageError, OSError):
    """An output exists, is an input, or cannot be written; found before any work."""


class MissingFileError(UsageError, FileNotFoundError):
    """A path named on the command line is missing, a folder, or unreadable."""


class SpecError(VolconvError, ValueError):
    """The spec's text or a value in it is wrong."""

    exit_code = 3


class ShapeError(SpecError):
    """A stage cannot work on the shape it is given."""


class WeightsError(VolconvError, ValueError):
    """A weights file, or a tensor in it, is missing, damaged or of the wrong shape."""

    exit_code = 3


class FormatError(VolconvError, ValueError):
    """A volume's content is damaged or not supported."""

    exit_code = 3


class ResumeError(VolconvError, ValueError):
    """A job that was cut off cannot be resumed by this run: something that changes its result differs."""

    exit_code = 3


class BudgetError(VolconvError, MemoryError):
    """Predicted memory or disk does not suffice; `needed` are the bytes that would, where they are known."""

    exit_code = 4
    needed = 0


class RunError(VolconvError, RuntimeError):
    """The work failed after it began: input/output, a changed input, lost memory."""

    exit_code = 1


class Interrupted(BaseException):
    """A signal asked the process to end; raised in the main thread, past every ``except Exception``.

    Parameters
    ----------
    signum : int
        The signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum


def show(text: str) -> str:
    """Return `text` on one line, with control characters written out as escapes."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)
    return "".join(escaped)
