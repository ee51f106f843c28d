"""Every code that an error can carry is in the table, and every code of the table is carried by some error."""

import ast
import re
from pathlib import Path

import pytest

from volconv import errors
from volconv.error_codes import ERROR_CODES

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "volconv").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
CLASSES = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}


def literals(node):
    """Return the texts that an expression can be, None for one that is no choice among texts."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.IfExp):
        either = [literals(node.body), literals(node.orelse)]
        return None if None in either else [*either[0], *either[1]]
    return None


def is_passed_on(node):
    """Whether an expression is a code that was given elsewhere: ``code``, ``error.code`` or ``io_code(error)``."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id.endswith("_code")
    return isinstance(node, ast.Name | ast.Attribute) and (getattr(node, "id", "") or node.attr) == "code"


def expressions(tree):
    """Yield every expression that is a code, and whether it must be one that can be read here.

    Codes are keywords, class attributes and other assignments, defaults of parameters, and what ``*_code`` returns.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((keyword.value, True) for keyword in node.keywords if keyword.arg == "code")
        elif isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "code" for target in node.targets):
            yield node.value, False
        elif isinstance(node, ast.FunctionDef):
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            yield from ((default, False) for argument, default in pairs if argument.arg == "code" and default)
            if node.name.endswith("_code"):
                yield from ((inner.value, True) for inner in ast.walk(node) if isinstance(inner, ast.Return))


def find_codes():
    """Return code to where it stands, and the places of codes that cannot be read."""
    found, unread = {}, []
    for path in SOURCES:
        for node, must in expressions(ast.parse(path.read_text(encoding="utf-8"))):
            here = f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node, ast.Constant) and not isinstance(node.value, str):
                continue  # a code of something else: nibabel's forms have numbers
            texts = literals(node)
            if texts is not None and all(re.fullmatch(r"[a-z0-9]+\.[a-z0-9_]+", text) for text in texts):
                found.update({text: here for text in texts if text not in found})
            elif must and not is_passed_on(node):
                unread.append(here)
    return found, unread


def test_codes_in_the_source_are_the_codes_of_the_table():
    found, unread = find_codes()
    assert unread == []
    assert {code: where for code, where in found.items() if code not in ERROR_CODES} == {}
    assert set(ERROR_CODES) - set(found) == set()


def raises(tree):
    """Yield class and code of every error made with a code in plain sight."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from ((CLASSES[node.func.id], code, node.lineno) for code in literals(keyword.value) or ())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_code_goes_with_its_exit_status(path):
    for kind, code, line in raises(ast.parse(path.read_text(encoding="utf-8"))):
        assert ERROR_CODES[code].exit_code == kind.exit_code, f"line {line}: {code} in {kind.__name__}"


def test_classes_have_codes_of_their_exit_status():
    kinds = [kind for kind in CLASSES.values() if issubclass(kind, errors.VolconvError)]
    assert {kind.__name__: ERROR_CODES[kind.code].exit_code for kind in kinds} == {
        kind.__name__: kind.exit_code for kind in kinds
    }


def test_meanings_are_sentences():
    for code, entry in ERROR_CODES.items():
        assert entry.meaning.endswith("."), code
        assert "|" not in entry.meaning, code
