"""Names that checkpoints hold beside their tensors: devices, types, paths, settings. They describe no tensor.

nnU-Net keeps a ``torch.device`` among its arguments, Lightning a ``Namespace`` or paths among its hyper-parameters; a
file would be refused for what nobody asks of it. As in `pickle_values` a name is compared as a whole; it is never
imported, looked up or called. It stands for nothing, or for a plain dictionary or list, in which tensors may lie.
"""

from __future__ import annotations

from typing import Any

from .pickle_input import PickleInput
from .pickle_values import Ordered, Rule, Token
from .strided import ITEM_BYTES

_MOST_PARTS = 64


class Record(Ordered):
    """What an object becomes whose state is a dictionary of its attributes."""

    __slots__ = ()


def _nothing(pickle: PickleInput, args: tuple[Any, ...]) -> None:
    if len(args) > _MOST_PARTS:
        pickle.fail(f"a value of {len(args)} parts", f"at most {_MOST_PARTS}")


def _record(pickle: PickleInput, args: tuple[Any, ...]) -> Record:
    if args:
        pickle.fail("settings made of other things", "nothing; they come later")
    return Record()


def _default_dict(pickle: PickleInput, args: tuple[Any, ...]) -> Ordered:
    # What it makes of a missing key is of no interest, as long as it is a name of the list.
    if len(args) > 1 or not all(arg is None or isinstance(arg, Token) for arg in args):
        pickle.fail("a defaultdict of other parts", "one name")
    return Ordered()


def _counter(pickle: PickleInput, args: tuple[Any, ...]) -> Any:
    if len(args) > 1 or not all(isinstance(arg, dict) for arg in args):
        pickle.fail("a Counter of other parts", "one dictionary")
    return args[0] if args else Ordered()


def _deque(pickle: PickleInput, args: tuple[Any, ...]) -> list[Any]:
    if len(args) > 2 or (args and args[0] != ()):
        pickle.fail("a deque of other parts", "nothing and a length; its items come later")
    return []


_BUILTINS = ("builtins", "__builtin__")
_LIGHTNING = (
    "pytorch_lightning.utilities.parsing",
    "lightning.pytorch.utilities.parsing",
    "lightning_fabric.utilities.data",
    "lightning.fabric.utilities.data",
)

INERT_RULES: dict[Token, Rule] = {
    Token("torch", "device"): _nothing,
    Token("collections", "defaultdict"): _default_dict,
    Token("collections", "Counter"): _counter,
    Token("collections", "deque"): _deque,
    Token("types", "SimpleNamespace"): _record,
    **{Token(module, name): _nothing for module in _BUILTINS for name in ("complex", "range", "slice", "xrange")},
    **{
        Token(module, f"{pure}{system}Path"): _nothing
        for module in ("pathlib", "pathlib._local")
        for pure in ("", "Pure")
        for system in ("Posix", "Windows")
    },
    **{Token("datetime", name): _nothing for name in ("date", "datetime", "time", "timedelta", "timezone")},
}
"""What REDUCE may do beside `pickle_values.RULES`."""

INERT_NEW_RULES: dict[Token, Rule] = {
    Token("argparse", "Namespace"): _record,
    **{Token(module, "AttributeDict"): _record for module in _LIGHTNING},
}
"""What NEWOBJ may do beside `pickle_values.NEW_RULES`."""

_TORCH_TYPES = (
    *(name for name in ITEM_BYTES if name not in ("uint16", "uint32", "uint64") and "float8" not in name),
    *("half", "float", "double", "short", "int", "long", "cfloat", "cdouble", "complex32", "chalf"),
    *("qint8", "quint8", "qint32"),
)

INERT_MARKS = frozenset(
    (
        *(Token("torch", name) for name in _TORCH_TYPES),
        *(Token(module, name) for module in _BUILTINS for name in ("dict", "float", "int", "list", "str", "tuple")),
    )
)
"""Names that may be passed on and do nothing, beside `pickle_values.MARKS`."""
