"""Trees of placed values: typed reading, numbers, and what Python data may become one."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from volconv.errors import SpecError
from volconv.spec.tree import Item, Node, build_node, read_number
from volconv.values import Length


@pytest.mark.parametrize(
    ("text", "base", "value"), [("7", 10, 7), ("-1e-5", 10, -1e-5), ("0x1f", 16, 31), ("5.", 10, 5.0)]
)
def test_number(text, base, value):
    out = read_number(text, base)
    assert out == value
    assert type(out) is type(value)


@pytest.mark.parametrize("text", ["9" * 5000, "9223372036854775808", "1e400", "-1e400", "1" + "0" * 400 + ".5"])
def test_number_out_of_range_is_described(text):
    assert isinstance(read_number(text), str)
    assert len(read_number(text)) < 100


def test_python_data_round_trips():
    data = {"a": [1, 2.5, "x", None, True], "b": {"c": []}}
    assert Item(build_node(data), "f").plain() == data


def test_arrays_tuples_and_other_mappings_become_plain_data():
    data = MappingProxyType(
        {"a": np.arange(4, dtype=np.float32).reshape(2, 2), "b": np.int64(3), "c": (Length(1, "mm"),)}
    )
    plain = Item(build_node(data), "f").plain()
    assert plain == {"a": [[0.0, 1.0], [2.0, 3.0]], "b": 3, "c": [Length(1, "mm")]}
    assert type(plain["b"]) is int


def _endless():
    out: list = []
    out.append(out)
    return out


@pytest.mark.parametrize(
    "data", [float("nan"), [float("-inf")], {"a": object()}, {1.5: 2}, {True: 2}, _endless(), b"x", 1j, {1, 2}]
)
def test_python_data_no_spec_can_hold(data):
    with pytest.raises(SpecError, match=r"found .*, expected"):
        build_node(data)


def test_whole_numbers_are_keys_as_text_spells_them():
    assert Item(build_node({1: 2, "3": 4}), "").plain() == {"1": 2, "3": 4}


def test_messages_name_place_and_nearest_key():
    item = Item(Node({"strde": Node(2, 3, 5)}, 2, 1), "f.yaml", "stages[0]")
    with pytest.raises(SpecError) as caught:
        item.refuse_unknown(("stride", "padding"))
    assert str(caught.value) == (
        "f.yaml: line 3, column 5: stages[0].strde: found unknown key 'strde', "
        "expected one of stride, padding; did you mean 'stride'?"
    )


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 0, 11])
def test_integer_refuses_what_is_none_in_range(value):
    with pytest.raises(SpecError, match="a whole number from 1 to 10"):
        Item(Node(value), "f").integer(1, 10)
