"""What the names a pickle may use stand for: descriptions of arrays and tensors, all made here.

The table at the end is the whole list. A name is compared as a whole; it is never imported, looked up or called: each
is either an inert mark or one of this file's own functions, which takes what the pickle passes and checks it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import show
from .byte_sources import ByteSource, HeldBytes, PartOf, Utf8Bytes
from .pickle_input import Chunk, PickleInput
from .strided import ITEM_BYTES, Storage, View, find_fault, make_strides


@dataclass(frozen=True, slots=True)
class Token:
    """A name of the list, as the pickle spelled it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Ordered(dict[Any, Any]):
    """What an OrderedDict becomes."""

    __slots__ = ()


class Bag(list[Any]):
    """What a set becomes; its items are of no interest."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Dtype:
    """A NumPy type; its byte order comes later, by BUILD."""

    name: str
    order: str = "="


@dataclass(eq=False, slots=True)
class Shell:
    """An array or tensor that BUILD still has to fill.

    Attributes
    ----------
    kind : str
        ``array`` (NumPy) or ``tensor`` (MegEngine).
    """

    kind: str
    view: View | None = None


Rule = Callable[[PickleInput, tuple[Any, ...]], Any]

_DTYPE = re.compile(r"[<>|=]?([fiubc])(\d{1,2})\Z")
_DTYPE_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
_STORAGES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Char": "int8",
    "Byte": "uint8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Bool": "bool",
}
STORAGE_DTYPES = {Token("torch", f"{name}Storage"): dtype for name, dtype in _STORAGES.items()}
STORAGE_DTYPES[Token("torch.storage", "UntypedStorage")] = ""
"""What the classes of torch's storages hold; an untyped one holds bytes, and the tensor says the type."""

_TORCH_DTYPES = {
    Token("torch", name): name for name in ("uint16", "uint32", "uint64", *(n for n in ITEM_BYTES if "float8" in n))
}
_MOST_INTS = 64
_NDARRAY = Token("numpy", "ndarray")
_SCALARS = (
    *("bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


def _ints(pickle: PickleInput, value: Any, what: str) -> tuple[int, ...]:
    # The length comes first: a pickle may pass the same long list again and again.
    if not isinstance(value, tuple | list) or len(value) > _MOST_INTS or not all(type(n) is int for n in value):
        pickle.fail(f"{what} of another kind", "a few whole numbers")
    return tuple(value)


def check_view(pickle: PickleInput, view: View) -> View:
    """Return `view`, which must fit its storage and the file."""
    fault = find_fault(view, pickle.file.size)
    if fault:
        pickle.fail(*fault)
    return view


def make_dtype_of(pickle: PickleInput, code: Any) -> Dtype:
    """Return the description of a NumPy type from its code, such as ``f4`` or ``<i8``."""
    match = _DTYPE.match(code) if isinstance(code, str) else None
    if match is None:
        pickle.fail(f"arrays of type {show(repr(code)[:40])}", "plain numbers")
    kind, size = match[1], int(match[2])
    name = "bool" if kind == "b" and size == 1 else f"{_DTYPE_KINDS.get(kind, '')}{8 * size}"
    if ITEM_BYTES.get(name) != size:
        pickle.fail(f"arrays of type {show(code)}", "plain numbers")
    return Dtype(name, code[0] if code[0] in "<>|=" else "=")


def set_byte_order(pickle: PickleInput, dtype: Dtype, state: Any) -> None:
    """Take the state of a NumPy type: version, byte order, and nothing of records or sub-arrays."""
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
        pickle.fail("a type with fields or an unknown byte order", "plain numbers")
    dtype.order = state[1]


def source_of(pickle: PickleInput, raw: Any) -> ByteSource:
    """Return the bytes that the pickle gives as bytes, or as the text that protocol 2 or Python 2 made of them."""
    if isinstance(raw, Chunk) and not raw.is_text:
        return PartOf(pickle.data, raw.start, raw.size)
    if isinstance(raw, bytes):
        return HeldBytes(raw)
    if isinstance(raw, Utf8Bytes):
        return raw
    pickle.meter.spend(len(raw) if isinstance(raw, str) else 0)
    if not isinstance(raw, str) or any(ord(c) > 255 for c in raw):
        pickle.fail("an array of other things", "the bytes of its numbers")
    return HeldBytes(raw.encode("latin-1"))


def make_array(pickle: PickleInput, shape: Any, dtype: Any, fortran: Any, raw: Any) -> View:
    """Return the description of a NumPy array whose numbers are `raw`."""
    sizes = _ints(pickle, shape, "a shape")
    if not isinstance(dtype, Dtype):
        pickle.fail("an array without a type", "a NumPy type")
    source = source_of(pickle, raw)
    swapped = dtype.order == (">" if sys.byteorder == "little" else "<")
    storage = Storage(source.size, dtype.name, source, swapped)
    view = View(storage, dtype.name, sizes, make_strides(sizes, bool(fortran)))
    check_view(pickle, view)
    wanted = math.prod(sizes) * ITEM_BYTES[dtype.name]
    if wanted != source.size:
        pickle.fail(f"{source.size} bytes of numbers", f"{wanted} for {dtype.name} {list(sizes)}")
    return view


def fill_array(pickle: PickleInput, shell: Shell, state: Any) -> None:
    """Take the state of a NumPy array: version, shape, type, order of axes, numbers."""
    if not isinstance(state, tuple) or len(state) != 5:
        pickle.fail("the state of an unknown array", "version, shape, type, order and numbers")
    shell.view = make_array(pickle, *state[1:])


def fill_tensor(pickle: PickleInput, shell: Shell, state: Any) -> None:
    """Take the state of a MegEngine tensor; version 1.1 has the numbers there, later ones quantisation alone."""
    known = {"data", "device", "dtype", "qdict", "qparams"}
    if not isinstance(state, dict) or len(state) > len(known) or not set(state) <= known:
        pickle.fail("the state of an unknown tensor", "data, device, dtype and quantisation")
    if "data" in state:
        shell.view = as_view(state["data"])


def as_view(value: Any) -> View | None:
    """Return the tensor that `value` is or wraps, None if it is none."""
    if isinstance(value, Shell):
        return value.view
    return value if isinstance(value, View) else None


def _ordered_dict(pickle: PickleInput, args: tuple[Any, ...]) -> Ordered:
    # Python 2 passes the items as a list of pairs, Python 3 sets them afterwards.
    out = Ordered()
    if len(args) > 1 or not all(isinstance(arg, list) for arg in args):
        pickle.fail("an OrderedDict made of other things", "a list of pairs")
    for pair in args[0] if args else ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            pickle.fail("an OrderedDict made of other things", "a list of pairs")
        put_item(pickle, out, *pair)
    return out


def put_item(pickle: PickleInput, target: dict[Any, Any], key: Any, value: Any) -> None:
    """Set an item of a dictionary; a key that is there already, or could be slow to hash, is refused."""
    is_number = isinstance(key, int | float) and abs(key) < 1 << 60
    if not isinstance(key, str | Token | None) and not is_number:
        pickle.fail("a dictionary key that is no text or number", "names")
    if key in target:
        pickle.fail(f"two values for {show(repr(key)[:80])}", "one")
    pickle.meter.spend(100)
    target[key] = value


def _tensor(pickle: PickleInput, parts: tuple[Any, ...], dtype: str = "") -> View:
    storage, offset, size, stride = parts
    sizes, strides = _ints(pickle, size, "a shape"), _ints(pickle, stride, "steps")
    (start,) = _ints(pickle, (offset,), "an offset")
    if not isinstance(storage, Storage) or not (dtype or storage.dtype):
        pickle.fail("a tensor without a storage", "one")
    return check_view(pickle, View(storage, dtype or storage.dtype, sizes, strides, start))


def _rebuild_tensor(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    if len(args) != 4:
        pickle.fail(f"a tensor of {len(args)} parts", "4")
    return _tensor(pickle, args)


def _rebuild_tensor_v2(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    if len(args) not in (6, 7):
        pickle.fail(f"a tensor of {len(args)} parts", "6 or 7")
    return _tensor(pickle, args[:4])


def _rebuild_tensor_v3(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    dtype = _TORCH_DTYPES.get(args[6]) if len(args) in (7, 8) and isinstance(args[6], Token) else None
    if dtype is None:
        pickle.fail("a tensor of other parts", "7 or 8, of which one is the type")
    return _tensor(pickle, args[:4], dtype)


def _rebuild_parameter(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    view = as_view(args[0]) if len(args) == 3 else None
    if view is None:
        pickle.fail("a parameter of other things", "one tensor")
    return view


def _size(pickle: PickleInput, args: tuple[Any, ...]) -> tuple[int, ...]:
    if len(args) != 1:
        pickle.fail("a size of other things", "whole numbers")
    return _ints(pickle, args[0], "a size")


def _reconstruct(pickle: PickleInput, args: tuple[Any, ...]) -> Shell:
    if len(args) != 3 or args[0] != _NDARRAY:
        pickle.fail("an array of another class", "numpy.ndarray")
    return Shell("array")


def _dtype(pickle: PickleInput, args: tuple[Any, ...]) -> Dtype:
    if not 1 <= len(args) <= 3:
        pickle.fail("a type of other parts", "a code such as f4")
    return make_dtype_of(pickle, args[0])


def _frombuffer(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    if len(args) not in (4, 5) or args[3] not in ("C", "F", "K"):
        pickle.fail("an array of other parts", "bytes, type, shape and order")
    if args[3] != "K" or len(args) == 4 or args[4] is None:
        return make_array(pickle, args[2], args[1], args[3] == "F", args[0])
    # Order K: the bytes are an array in C order whose axes are then permuted.
    view = make_array(pickle, args[2], args[1], False, args[0])
    axes = _ints(pickle, args[4], "an order of axes")
    if sorted(axes) != list(range(len(view.shape))):
        pickle.fail("an order of axes that is none", "each axis once")
    shape, strides = (tuple(of[a] for a in axes) for of in (view.shape, view.strides))
    return View(view.storage, view.dtype, shape, strides)


def _scalar(pickle: PickleInput, args: tuple[Any, ...]) -> View:
    if len(args) != 2:
        pickle.fail("a number of other parts", "type and bytes")
    return make_array(pickle, (), args[0], False, args[1])


def _encode(pickle: PickleInput, args: tuple[Any, ...]) -> Any:
    if len(args) != 2 or args[1] not in ("latin1", "latin-1"):
        pickle.fail("text in another encoding", "latin1")
    text = args[0]
    if isinstance(text, Chunk) and text.is_text:
        return pickle.text_bytes(text)
    pickle.meter.spend(len(text) + 40 if isinstance(text, str) else 0)
    if not isinstance(text, str) or any(ord(c) > 255 for c in text):
        pickle.fail("other things than text to encode", "text")
    return text.encode("latin-1")


def _set(pickle: PickleInput, args: tuple[Any, ...]) -> Bag:
    if len(args) > 1 or not all(isinstance(arg, list) for arg in args):
        pickle.fail("a set of other things", "a list")
    return Bag()


def _new_tensor(pickle: PickleInput, args: tuple[Any, ...]) -> Shell:
    """Version 1.1 passes nothing, 1.2 array, type and device, later ones four things more."""
    view = as_view(args[0]) if args else None
    if args and (len(args) not in (3, 7) or view is None):
        pickle.fail("a MegEngine tensor of other parts", "an array, its type and its device")
    return Shell("tensor", view)


RULES: dict[Token, Rule] = {
    Token("collections", "OrderedDict"): _ordered_dict,
    Token("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    Token("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    Token("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    Token("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    Token("torch", "Size"): _size,
    Token("numpy", "dtype"): _dtype,
    **{Token(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{Token(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{Token(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    Token("_codecs", "encode"): _encode,
    **{Token(module, name): _set for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
}
"""What REDUCE may do."""

NEW_RULES: dict[Token, Rule] = {Token("megengine.tensor", name): _new_tensor for name in ("Tensor", "Parameter")}
"""What NEWOBJ may do."""

MARKS = frozenset((*STORAGE_DTYPES, *_TORCH_DTYPES, _NDARRAY, *(Token("numpy", name) for name in _SCALARS)))
"""Names that may be passed on and do nothing."""
