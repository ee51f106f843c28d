"""YAML 1.2 core schema, and every construct a spec may not use, with line and column."""

from __future__ import annotations

import time

import pytest

from volconv.errors import SpecError
from volconv.spec.tree import MAX_DEPTH, MAX_NODES, Item
from volconv.spec.yaml_tree import read_yaml


def _plain(text):
    return Item(read_yaml(text, "f.yaml"), "f.yaml").plain()


# Examples 10.2 and 10.3 of the YAML 1.2.2 specification, and what YAML 1.1 reads otherwise.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("null", None), ("~", None), ("Null", None), ("", None), ("nULL", "nULL")],
        *[("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE")],
        *[("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y")],
        *[("0", 0), ("-19", -19), ("+12", 12), ("012", 12), ("0o14", 12), ("0x3A", 58)],
        *[("1e-5", 1e-5), ("12e03", 12e3), ("-2E+05", -2e5), (".5", 0.5), ("+.5", 0.5), ("0.", 0.0), ("-0.0", -0.0)],
        *[("1_000", "1_000"), ("0b11", "0b11"), ("1:20", "1:20"), ("2001-12-14", "2001-12-14"), ("1e", "1e")],
        *[("'1'", "1"), ('"\\x41"', "A"), ("2mm", "2mm"), ("=", "="), ("$x", "$x"), ("nan", "nan"), (".", ".")],
    ],
)
def test_scalars(text, value):
    out = _plain(f"k: {text}\n")["k"]
    assert out == value
    assert type(out) is type(value)


def test_entries_stand_at_their_key_and_elements_at_themselves():
    tree = read_yaml("a:\n  b: [1,\n    2]\n? c\n: d\n", "f")
    inner = tree.value["a"].value["b"]
    assert (tree.value["a"].line, tree.value["a"].column) == (1, 1)
    assert (inner.line, inner.column) == (2, 3)
    assert [(n.line, n.column) for n in inner.value] == [(2, 7), (3, 5)]
    assert (tree.value["c"].line, tree.value["c"].column) == (4, 3)


def test_windows_line_ends_and_block_text():
    assert _plain("a: 1\r\nb: |\r\n  x\r\n  y\r\n") == {"a": 1, "b": "x\ny\n"}


def test_a_version_directive_for_yaml_1_2_is_fine():
    assert _plain("%YAML 1.2\n---\na: no\n...\n") == {"a": "no"}


@pytest.mark.parametrize(
    ("text", "line", "column", "found"),
    [
        ("a: 1\nb: 2\na: 3", 3, 1, "the key 'a' a second time, expected it once (first in line 1)"),
        ("{x: {b: 1, b: 2}}", 1, 12, "the key 'b' a second time"),
        ("'1': 0\n1: 0", 2, 1, "a second time"),
        ("a:\t1", 1, 3, "a tab"),
        ("a:\n\tb: 1", 2, 1, "a tab"),
        ("a: *x", 1, 4, "an alias"),
        ("a: &x 1", 1, 4, "an anchor"),
        ("a: &x [*x]", 1, 4, "an anchor"),
        ("<<: {a: 1}", 1, 1, "a merge key"),
        ("a: !!python/object/apply:os.system [id]", 1, 4, "a tag"),
        ("!!map {a: 1}", 1, 1, "a tag"),
        ("a: ! x", 1, 4, "a tag"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
        ("%YAML 1.1\n---\na: 1", 2, 1, "YAML 1.1"),
        ("%TAG ! tag:x,2000:\n---\na: 1", 2, 1, "a tag directive"),
        ("a: .inf", 1, 4, ".inf"),
        ("a: [-.INF]", 1, 5, "-.INF"),
        ("a: .NaN", 1, 4, ".NaN"),
        ("a: 1e999", 1, 4, "1e999"),
        ("a: " + "7" * 5000, 1, 4, "a whole number of 5000 characters"),
        ("a: 0x" + "f" * 5000, 1, 4, "a whole number of 5002 characters"),
        ("[1]: 2", 1, 1, "a list or mapping as a key"),
        ("? {a: 1}\n: 2", 1, 3, "a list or mapping as a key"),
        ("a: [1, 2", 1, 9, "flow sequence that began in line 1"),
        ("a: b: c", 1, 5, "mapping values are not allowed here"),
        ("a: 'x", 1, 6, "unexpected end of stream"),
        ("a: @x", 1, 4, "cannot start any token"),
        ('a: "\\q"', 1, 6, "unknown escape"),
        ('a: "\\uD800"', 1, 4, "half of a surrogate pair"),
        ('"\\uD800": 1', 1, 1, "half of a surrogate pair"),
        ('a: "\\U00110000"', 1, 1, "no YAML"),
        ("a: 1\n b: 2", 2, 3, "no YAML"),
        ("", 1, 1, "an empty file"),
        ("# only a comment\n", 1, 1, "an empty file"),
        ("[" * 51 + "]" * 51, 1, 51, "nested deeper than 50"),
    ],
)
def test_refused(text, line, column, found):
    with pytest.raises(SpecError) as caught:
        read_yaml(text, "f.yaml")
    message = str(caught.value)
    assert message.startswith(f"f.yaml: line {line}, column {column}: found ")
    assert found in message
    assert ", expected " in message


def test_words_have_an_end():
    assert read_yaml("a: " + "x" * 2**16, "f")
    with pytest.raises(SpecError, match=r"f.yaml: line 2, column 4: found more than 65536 characters without a space"):
        read_yaml("b: 1\na: " + "x" * (2**16 + 1), "f.yaml")
    assert read_yaml("a: [" + "1.25," * 40_000 + "1]", "f")


def test_limits_are_limits():
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")
    lines = "- 1\n" * 20
    assert len(read_yaml(lines, "f").value) == 20


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\n" + "".join(f"{c}: &{c} [*a, *a]\n" for c in "bcdefgh"),
        "[" * 200_000,
        "[ " * 200_000,
        "{a: " * 100_000,
        "- " * 200_000,
        "? " * 200_000,
        ": " * 200_000,
        "!" * 1_000_000,
        "&" * 1_000_000,
        "*" * 1_000_000,
        "a: " + "1," * 500_000,
        "a: [" + "1," * 500_000 + "]",
        "- 1\n" * 250_000,
        "%" * 1_000_000,
        "a: '" + "x" * 1_000_000,
        'a: "' + "\\" * 1_000_001,
        "#" * 1_000_000,
        "x" * 1_000_000 + ": 1",
        "{" + "? ," * 90_000,
        "---\n" * 200_000,
        "a: >" + "9" * 1_000_000,
    ],
    ids=lambda t: t[:8] + f"x{len(t)}",
)
def test_hostile_text_ends_soon(text):
    start = time.process_time()
    with pytest.raises(SpecError):
        read_yaml(text, "f.yaml")
    assert time.process_time() - start < 2


def test_counts_values_beside_lines():
    text = "[" + "{} ," * 20 + "]"
    assert len(read_yaml(text, "f").value) == 20
    with pytest.raises(SpecError, match=f"more than {MAX_NODES}"):
        read_yaml("[" + "{}," * (MAX_NODES + 1) + "]", "f")
