"""The one error family of the package; every leaf carries the exit code the shell sees.

Knows nothing of files, terminals or exit: it only carries what was found, where, and what was expected.
"""

from __future__ import annotations

import errno

_FOUND, _EXPECTED = "found ", ", expected "


class VolconvError(Exception):
    """Root of every error raised on purpose.

    Parameters
    ----------
    message : str
        What was found, what was expected, what to do: one sentence, no line breaks.
    code : str, optional
        One of `volconv.error_codes.ERROR_CODES`, for programs; by default the class's own.
    file : str, optional
        The file the message is about, as the user named it.
    where : str, optional
        The place inside that file: ``line 3, column 7: stages[0].stride``, a header field, a dataset.
    """

    exit_code = 1
    code = "run.failed"

    def __init__(
        self, message: str, *, code: str | None = None, file: str | None = None, where: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.file = file
        self.where = where

    def __str__(self) -> str:
        return ": ".join(show(part) for part in (self.file, self.where, self.message) if part)

    @property
    def found(self) -> str | None:
        """What the message says was found, None for a message of another form than ``found ..., expected ...``."""
        before, comma, _ = self.message.rpartition(_EXPECTED)
        return before.rpartition(f": {_FOUND}")[2].removeprefix(_FOUND) if comma else None

    @property
    def expected(self) -> str | None:
        """What the message says was expected; None as for `found`."""
        _, comma, after = self.message.rpartition(_EXPECTED)
        return after if comma else None


class UsageError(VolconvError, ValueError):
    """The command line (or a function's arguments) asks for something that cannot be."""

    exit_code = 2
    code = "usage.value"


class OutputError(UsageError, OSError):
    """An output exists, is an input, or cannot be written; found before any work."""

    code = "output.unwritable"


class MissingFileError(UsageError, FileNotFoundError):
    """A path named on the command line is missing, a folder, or unreadable."""

    code = "usage.missing_file"


class SpecError(VolconvError, ValueError):
    """The spec's text or a value in it is wrong."""

    exit_code = 3
    code = "spec.value"


class ShapeError(SpecError):
    """A stage cannot work on the shape it is given."""

    code = "spec.shape"


class WeightsError(VolconvError, ValueError):
    """A weights file, or a tensor in it, is missing, damaged or of the wrong shape."""

    exit_code = 3
    code = "weights.damaged"


class FormatError(VolconvError, ValueError):
    """A volume's content is damaged or not supported."""

    exit_code = 3
    code = "volume.damaged"


class ResumeError(VolconvError, ValueError):
    """A job that was cut off cannot be resumed by this run: something that changes its result differs."""

    exit_code = 3
    code = "output.other_job"


class BudgetError(VolconvError, MemoryError):
    """Predicted memory or disk does not suffice; `needed` are the bytes that would, where they are known."""

    exit_code = 4
    code = "memory.budget"
    needed = 0


class RunError(VolconvError, RuntimeError):
    """The work failed after it began: input/output, a changed input, lost memory."""

    exit_code = 1


def io_code(error: OSError) -> str:
    """Return the code of an input or output that failed after the work began."""
    return "disk.full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "run.io"


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
