"""Families of readers are loaded when a name calls for them, and once."""

import pytest

from volconv.dialects import dialect_names
from volconv.ops.families import Readers, later
from volconv.ops.registry import get_dialect


class Families:
    """Readers of a, then of b and c, then of d; remembers which families were loaded."""

    def __init__(self):
        self.loaded = []
        self.readers = Readers({"a": "A"}, self.family(b="B", c="C"), self.family(d="D"))

    def family(self, **readers):
        def load():
            self.loaded += readers
            return readers

        return load


@pytest.mark.parametrize(("name", "loaded"), [("a", ""), ("b", "bc"), ("c", "bc"), ("d", "bcd"), ("e", "bcd")])
def test_a_family_is_loaded_when_none_before_has_the_name(name, loaded):
    families = Families()
    assert families.readers.get(name, "none") == {"e": "none"}.get(name, name.upper())
    assert (name in families.readers) == (name != "e")
    assert "".join(families.loaded) == loaded


def test_all_are_listed_in_order():
    families = Families()
    assert list(families.readers.items()) == [(name, name.upper()) for name in "abcd"]
    assert len(families.readers) == 4
    assert families.loaded == list("bcd")
    with pytest.raises(KeyError):
        families.readers["e"]


def test_later_names_a_file_beside():
    family = later("simple", lambda found: {"ReLU": found.SIMPLE_READERS["ReLU"]})
    assert list(family()) == ["ReLU"]


@pytest.mark.parametrize("dialect", dialect_names())
def test_no_name_is_in_two_families(dialect):
    names = list(get_dialect(dialect).readers)
    assert len(names) == len(set(names))
    assert all(reader.name == name for name, reader in get_dialect(dialect).readers.items())
