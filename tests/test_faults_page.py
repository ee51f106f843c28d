"""The page of faults and the suite agree: every row has tests, and every test it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
ROW = re.compile(r"\| (\d+) \| (.+) \| (.+) \| (.+) \|")
TEST = re.compile(r"`([\w/]+\.py)((?:::\w+)+)`")


def rows():
    """Yield number, fault, behaviour and the tests' names of every row."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = ROW.fullmatch(line)
        if match:
            yield int(match[1]), match[2], match[3], [(file, name[2:]) for file, name in TEST.findall(match[4])]


@cache
def list_tests(file):
    """The tests of a file below `tests`: ``test_name`` or ``TestClass::test_name``, those of contracts left out."""
    found = set()
    for node in ast.parse((TESTS / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def test_every_fault_has_a_row_and_tests():
    numbers = [number for number, *_ in rows()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == 96
    for number, fault, behaviour, tests in rows():
        assert fault.strip(), number
        assert behaviour.strip(), number
        assert tests, f"row {number} names no test"


def test_every_test_that_is_named_exists():
    missing = []
    for number, *_, tests in rows():
        for file, name in tests:
            if not (TESTS / file).is_file() or name not in list_tests(file) or "test_" not in name:
                missing.append(f"row {number}: {file}::{name}")
    assert not missing


def test_nothing_else_stands_among_the_tests():
    """Every word of the last column is a test, so that a misspelt one cannot be passed over."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = ROW.fullmatch(line)
        if match:
            assert TEST.sub("", match[4]).replace(",", "").strip() == "", match[1]
