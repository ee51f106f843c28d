"""Gives completed part files their final names: one by a rename, several so that all appear or none.

Names are changed one at a time, and a process may die in between. So a list of what is to be renamed is on the disk
before the first rename and gone after the last (`commit_list`); the next run for the same outputs carries it out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import OutputError, RunError
from .atomic import PartFile
from .commit_list import Entry, identify, list_path, remove_list, write_list
from .output_name import check_absent

Unit = tuple[PartFile, ...]
"""Part files that are one output. Of several, as of a pair, the last is what makes it one: its old file goes first."""


def publish(units: Iterable[Unit], folder: Path) -> None:
    """Give completed parts their final names: all of them.

    Parameters
    ----------
    units : iterable of Unit
        In the order of their renaming; one that comes twice counts once.
    folder : Path
        Where the list of several lies meanwhile; made where it is not there.

    Raises
    ------
    OutputError
        A name has been taken since (and is not to be replaced): none of the files appears.
    RunError
        The disk fails. Before the first rename the caller removes the parts; later, what is left is kept, and the next
        run for these outputs finishes it.
    """
    units = [unit for unit in dict.fromkeys(units) if unit]
    parts = [part for unit in units for part in unit]
    if len(parts) < 2:
        for part in parts:
            _publish_alone(part, folder)
        return
    for part in parts:
        if not part.force:
            check_absent(part.target, part.name)
    try:
        write_list([[_entry(part) for part in unit] for unit in units], folder)
        for unit in units:
            publish_unit(unit)
    except OutputError:
        for part in parts:
            part.take_back()
        remove_list(folder)
        raise
    except BaseException:
        if list_path(folder).exists():
            for part in parts:
                part.keep()
        raise
    remove_list(folder)


def _publish_alone(part: PartFile, folder: Path) -> None:
    """Publish the only part; one whose renaming fails is kept, and the next run finishes it."""
    entry = _entry(part)
    try:
        part.publish()
    except RunError:
        if part.path.exists():
            with contextlib.suppress(RunError):
                write_list([[entry]], folder)
        raise


def _entry(part: PartFile) -> Entry:
    old = identify(part.target) if part.force else ""
    return Entry(part.path.name, Path(part.name), part.inode, part.force, old)


def publish_unit(unit: Unit) -> None:
    """Give the completed parts of one output their final names; a name taken meanwhile takes the others back."""
    *others, last = unit
    if others and last.force:
        last.remove_old()
    try:
        for part in unit:
            part.publish()
    except OutputError:
        for part in others:
            part.take_back()
        raise


def abort_all(parts: Sequence[PartFile]) -> None:
    """Remove parts that are not published."""
    for part in parts:
        part.abort()
