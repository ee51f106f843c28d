"""JSON to the letter, against the standard library as oracle, with lines and columns."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.errors import SpecError
from volconv.spec.json_tree import read_json
from volconv.spec.tree import MAX_DEPTH, MAX_NODES, Item

_SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_VALUES = st.recursive(
    _SCALARS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def _plain(text):
    return Item(read_json(text, "f.json"), "f.json").plain()


@given(_VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_reads_what_json_writes(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    out = _plain(text)
    assert out == value
    assert json.dumps(out) == json.dumps(value)


def _strict(text):
    def refuse(name):
        raise ValueError(name)

    def unique(pairs):
        if len(dict(pairs)) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


@given(st.text('[]{},:"\\ \n-+.0123eEtruefalsnlN/*', max_size=12) | _VALUES.map(lambda v: json.dumps(v)[:-1]))
def test_accepts_just_what_json_is(text):
    try:
        expected = _strict(text)
        finite = "inf" not in repr(expected)
    except (ValueError, RecursionError):
        finite = False
    if finite:
        assert _plain(text) == expected
    else:
        with pytest.raises(SpecError, match=r"f.json: line \d+, column \d+"):
            read_json(text, "f.json")


def test_places():
    tree = read_json('{\n  "a": [1,\n 2]}', "f.json")
    assert (tree.value["a"].line, tree.value["a"].column) == (2, 3)
    assert [(n.line, n.column) for n in tree.value["a"].value] == [(2, 9), (3, 2)]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('{"a": 1,\n "a": 2}', 2, 2, "the key 'a' a second time, expected it once (first in line 1)"),
        ('{"a": 1,}', 1, 8, "a comma before }"),
        ("[1,\n]", 1, 3, "a comma before ]"),
        ('{"a": 1} // note', 1, 10, "the end of the file"),
        ('{"a": /* note */ 1}', 1, 7, "JSON has no comments"),
        ('{"a": # note\n 1}', 1, 7, "JSON has no comments"),
        ('{"a": NaN}', 1, 7, "'NaN'"),
        ('{"a": -Infinity}', 1, 7, "'-Infinity'"),
        ('{"a": 1e400}', 1, 7, "out of range"),
        ('{"a": ' + "9" * 5000 + "}", 1, 7, "a whole number of 5000 characters"),
        ('{"a": 01}', 1, 7, "'01'"),
        ('{"a": .5}', 1, 7, "'.5'"),
        ('{"a": +1}', 1, 7, "'+1'"),
        ('{"a": True}', 1, 7, "'True'"),
        ("{'a': 1}", 1, 2, "a key in double quotes"),
        ("{a: 1}", 1, 2, "a key in double quotes"),
        ('{"a" 1}', 1, 6, "a colon"),
        ('{"a": 1 "b": 2}', 1, 9, "a comma or }"),
        ('{"a": "x', 1, 7, "text that does not end"),
        ('{"a": "x\ny"}', 1, 7, "text that does not end"),
        ('{"a": "\\x41"}', 1, 7, "wrong escape"),
        ('{"a": "\\ud800"}', 1, 7, "half of a surrogate pair"),
        ('{"a": [1, 2', 1, 12, "the end of the file"),
        ("", 1, 1, "the end of the file"),
        ("[] []", 1, 4, "expected the end of the file"),
        ("[" * 51 + "]" * 51, 1, 51, "nested deeper than 50"),
    ],
)
def test_refused(text, line, column, message):
    with pytest.raises(SpecError) as caught:
        read_json(text, "f.json")
    assert str(caught.value).startswith(f"f.json: line {line}, column {column}: found ")
    assert message in str(caught.value)


def test_limits_are_limits():
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")
    assert len(read_json("[" + "0," * (MAX_NODES - 2) + "0]", "f").value) == MAX_NODES - 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        '"' + "\\" * 1_000_000,
        '"' + "x" * 1_000_000,
        "-" * 1_000_000,
        "1" * 1_000_000,
        "[" + "1," * 500_000,
        "[" + '"",' * 300_000,
        "a" * 1_000_000,
        " \n" * 500_000,
    ],
    ids=lambda t: t[:8].strip() + f"x{len(t)}",
)
def test_hostile_text_ends_soon(text):
    start = time.process_time()
    with pytest.raises(SpecError):
        read_json(text, "f.json")
    assert time.process_time() - start < 2
