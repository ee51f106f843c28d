"""MegEngine's pickles in all their forms, and Lucid 2's: written by Python's own pickler from look-alike classes."""

import pickle
import re
import struct
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest

from tests.weights.pickle_cases import call, items, name, number, text, tup, unframed, whole
from volconv.weights.store import open_weights

PROTOCOLS = (2, 3, 4, 5)
RNG = np.random.default_rng(3)
ARRAYS = OrderedDict(
    {
        "conv.weight": RNG.normal(size=(4, 2, 3, 3, 3)).astype("f4"),
        "conv.bias": RNG.normal(size=(1, 4, 1, 1, 1)).astype("f4"),
        "grouped": RNG.normal(size=(2, 2, 1, 3, 3, 3)).astype("f2"),
        "turned": np.asfortranarray(RNG.normal(size=(3, 5))),
        "permuted": RNG.normal(size=(2, 3, 4)).transpose(2, 0, 1),
        "swapped": np.arange(5, dtype=">i4"),
        "steps": np.arange(6, dtype="u1")[::2],
        "nothing": np.zeros((0, 3), "f4"),
        "alone": np.array(2.5),
    }
)


@pytest.fixture
def opened(tmp_path):
    """Return a function: the arrays in a file of these bytes, and its format."""

    def read(content):
        path = tmp_path / "weights.pkl"
        path.write_bytes(content)
        with open_weights(path) as store:
            return {key: store[key] for key in store}, store.format

    return read


def arrays_for(protocol):
    """Return the arrays that `protocol` can hold: 2 writes empty ones by a call of ``bytes``, which is refused."""
    return OrderedDict((key, value) for key, value in ARRAYS.items() if value.size or protocol > 2)


def test_empty_arrays_of_protocol_2(refused):
    refused(pickle.dumps({"a": ARRAYS["nothing"]}, 2), r"__builtin__\.bytes")


def check(found, wanted=ARRAYS):
    assert list(found) == list(wanted)
    for key, values in wanted.items():
        assert found[key].dtype == values.dtype.newbyteorder("=")
        assert found[key].dtype.isnative
        np.testing.assert_array_equal(found[key], values)


def spell_numpy_1(pickled):
    """Return the pickle as NumPy 1 would have written it."""
    out = unframed(pickled).replace(b"cnumpy._core.", b"cnumpy.core.")
    return re.sub(
        rb"\x8c.numpy\._core\.(\w+)", lambda m: b"\x8c" + bytes([11 + len(m[1])]) + b"numpy.core." + m[1], out
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("spell", [lambda raw: raw, spell_numpy_1])
def test_arrays_in_every_protocol_and_spelling(opened, protocol, spell):
    content = spell(pickle.dumps(arrays_for(protocol), protocol))
    found, kind = opened(content)
    assert kind == "pickle (MegEngine)"
    check(found, arrays_for(protocol))


def test_a_dictionary_around_them(opened):
    found, _ = opened(pickle.dumps({"net_init": ARRAYS, "step": 7, "lr": np.float32(0.5), "tags": {"a"}}, 4))
    check({key.removeprefix("net_init."): v for key, v in found.items() if key != "lr"})
    assert found["lr"] == 0.5


class Form:
    """The classes of one version of MegEngine, by the names pickles give them."""

    def __init__(self, new_args, state):
        body = {
            "__module__": "megengine.tensor",
            "__new__": lambda cls, *_: object.__new__(cls),
            "__init__": lambda self, *args: self.__dict__.update(array=args[0]) if args else None,
            "__getstate__": lambda self: state(self.array),
        }
        if new_args is not None:
            body["__getnewargs__"] = lambda self: new_args(self.array)
        self.module = ModuleType("megengine.tensor")
        for kind in ("Tensor", "Parameter"):
            setattr(self.module, kind, type(kind, (), body))


QDICT = {"mode": None, "scale": None, "zero_point": None}
FORMS = {
    "1.1": Form(None, lambda a: {"data": a, "device": "xpux", "dtype": a.dtype.type, "qdict": QDICT}),
    "1.2": Form(lambda a: (a, a.dtype.type, "xpux"), lambda _: {"qdict": QDICT}),
    "now": Form(lambda a: (a, a.dtype.type, "xpux", False, False, None, "default"), lambda _: {}),
    "quantised": Form(lambda a: (a, a.dtype.type, "cpu0", False, False, None, "default"), lambda _: {"qparams": None}),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("version", FORMS)
def test_megengine_tensors(opened, monkeypatch, version, protocol):
    form = FORMS[version]
    monkeypatch.setitem(sys.modules, "megengine", ModuleType("megengine"))
    monkeypatch.setitem(sys.modules, "megengine.tensor", form.module)
    kinds = (form.module.Tensor, form.module.Parameter)
    wrapped = OrderedDict((key, kinds[i % 2](value)) for i, (key, value) in enumerate(arrays_for(protocol).items()))
    content = pickle.dumps(wrapped, protocol)
    assert b"megengine.tensor" in content
    check(opened(content)[0], arrays_for(protocol))


def test_arrays_longer_than_a_string_may_be(opened):
    wanted = {"big": np.arange(70_000, dtype="f4"), "bytes": np.arange(300_000).astype("u1")}
    for protocol in PROTOCOLS:
        check(opened(pickle.dumps(wanted, protocol))[0], wanted)


def test_python_2_arrays(opened):
    """Strings of Python 2 hold the numbers; OrderedDict gets its items as a list of pairs."""
    raw = struct.pack("<3f", 1, 2, 3)
    code = call(name("numpy", "dtype"), b"U\x02f4", number(0), number(1))
    code += tup(number(3), b"U\x01<", b"NNN", number(-1), number(-1), number(0)) + b"b"
    array = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tup(number(0)), b"U\x01b")
    array += tup(number(1), tup(number(3)), code, b"\x89", b"U\x0c" + raw) + b"b"
    pairs = b"](](U\x01a" + array + b"ee"
    found, _ = opened(whole(call(name("collections", "OrderedDict"), pairs)))
    assert found["a"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_lucid_2(opened, protocol):
    content = {"type": "OrderedDict", "format_version": 1.1, "content": arrays_for(protocol)}
    found, kind = opened(pickle.dumps(content, protocol))
    assert kind == "Lucid 2"
    check(found, arrays_for(protocol))
    found, _ = opened(pickle.dumps({"type": "Tensor", "format_version": 1.1, "content": ARRAYS["steps"]}, protocol))
    check(found, {"": ARRAYS["steps"]})


class Other:
    pass


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"a": np.array(["text"])}, "arrays of type 'U4'"),
        ({"a": np.array([None, 1])}, "arrays of type 'O8'"),
        ({"a": np.zeros(2, [("x", "f4"), ("y", "i2")])}, "arrays of type"),
        ({"a": np.zeros(2, "M8[s]")}, "arrays of type 'M8'"),
        ({"a": np.zeros(2, "g")}, "arrays of type f16"),
        ({"a": np.ma.zeros(2)}, r"numpy\.ma\.core"),
        ({"a": np.zeros(2).view(np.matrix)}, r"matrix"),
        ({"a": Other()}, r"test_pickled\.Other"),
        ({"a": {1, 2}}, "no tensors"),
        ({"w": 1}, "no tensors"),
        ("text", "no tensors"),
        ([], "no tensors"),
        ({(1, 2): np.zeros(2)}, "dictionary key that is no text"),
        ({1: np.zeros(2), "1": np.zeros(3)}, "two tensors of this name"),
        ({"a": {"b": np.zeros(2)}, "a.b": np.zeros(3)}, "two tensors of this name"),
        ({"state": {0: np.zeros(2)}, "param_groups": []}, "optimiser"),
        ({"type": "dict", "format_version": 2.0, "content": {}}, "format_version 1.1"),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_things_are_refused(refused, value, match, protocol):
    refused(pickle.dumps(value, protocol), match)


def test_complex_and_bool_arrays_are_listed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(pickle.dumps({"b": np.zeros(2, "?"), "c": np.zeros(2, "c8"), "f": np.zeros(1)}, 4))
    with open_weights(path) as store:
        assert [(key, dtype) for key, _, dtype in store.describe()] == [
            ("b", "bool"),
            ("c", "complex64"),
            ("f", "float64"),
        ]
        with pytest.raises(ValueError, match="type complex64"):
            store["c"]


def test_traced_modules_say_what_to_save(refused):
    body = name("megengine.traced_module.traced_module", "TracedModule") + b")\x81}b."
    refused(b"\x80\x02" + body, "TracedModule.*save its state_dict")


def test_items_are_named_once(refused):
    body = items([("a", number(1)), ("a", number(2))])
    refused(whole(body), "two values for 'a'")
    refused(whole(body.replace(text("a"), number(5))), "two values for 5")
