"""What goes to stdout and what to stderr."""

import io
import json
import math

import numpy as np
import pytest

from volconv.cli.console import Console


@pytest.fixture
def console():
    return Console()


def test_results_and_notes_go_their_own_ways(console, capsys):
    console.out("result")
    console.note("note")
    assert capsys.readouterr() == ("result\n", "volconv: note\n")


@pytest.mark.parametrize(("level", "said"), [(-1, ""), (0, "volconv: a\n"), (1, "volconv: a\nvolconv: b\n")])
def test_levels(console, capsys, level, said):
    console.level = level
    console.note("a")
    console.note("b", 1)
    assert capsys.readouterr().err == said


def test_a_note_is_one_line_whatever_the_name(console, capsys):
    console.note("wrote a\nb\x1b[31m\udcff.nii")
    assert capsys.readouterr().err == "volconv: wrote a\\nb\\x1b[31m\\udcff.nii\n"


def test_json_says_null_for_what_it_cannot_say(console, capsys):
    console.print_json(
        {"a": math.nan, "b": [math.inf, 1.5], "c": np.float32(2), "d": np.arange(3), "e": None, "f": ("x", True)}
    )
    document = json.loads(capsys.readouterr().out)
    assert document == {"a": None, "b": [None, 1.5], "c": 2.0, "d": [0, 1, 2], "e": None, "f": ["x", True]}


def test_json_is_ascii(console, capsys):
    console.print_json({"name": "käse\udcff"})
    assert capsys.readouterr().out.isascii()


class _Broken(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def test_a_stderr_that_is_gone_is_no_error(console, monkeypatch):
    monkeypatch.setattr("sys.stderr", _Broken())
    console.note("lost")
    monkeypatch.setattr("sys.stderr", None)
    console.note("lost")
    assert not console.draws


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("term", "level", "draws"), [("xterm", 0, True), ("dumb", 0, False), ("xterm", -1, False)])
def test_draws_only_on_a_terminal_that_can(console, monkeypatch, term, level, draws):
    assert not console.draws
    monkeypatch.setattr("sys.stderr", _Terminal())
    monkeypatch.setenv("TERM", term)
    console.level = level
    assert console.draws is draws
