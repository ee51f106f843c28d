"""A stack machine for pickles of protocol 2 to 5 that knows how to describe tensors and nothing else.

Python's own is not used: a pickle is a program, and that machine runs whatever the program names. This one imports,
looks up and calls nothing; the names it accepts are those of `pickle_values` and `pickle_inert`. Opcodes: the standard
library's ``pickletools``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import WeightsError, show
from .pickle_inert import INERT_MARKS, INERT_NEW_RULES, INERT_RULES, Record
from .pickle_input import MAX_TEXT, PickleInput
from .pickle_values import (
    MARKS,
    NEW_RULES,
    RULES,
    Bag,
    Dtype,
    Ordered,
    Shell,
    Token,
    fill_array,
    fill_tensor,
    put_item,
    set_byte_order,
)

MAX_OPCODES = 2_000_000
MAX_MARKS = 256
MAX_STACK = 100_000

_REDUCE = {**RULES, **INERT_RULES}
_NEWOBJ = {**NEW_RULES, **INERT_NEW_RULES}
_NAMES = frozenset((*_REDUCE, *_NEWOBJ, *MARKS, *INERT_MARKS))

Loader = Callable[[PickleInput, tuple[Any, ...]], Any]

_TEXT_OPCODES = ("INT", "LONG", "FLOAT", "STRING", "UNICODE", "GET", "PUT")
_REFUSED = {
    **{ord(code): f"{name} of protocol 0" for code, name in zip("ILFSVgp", _TEXT_OPCODES, strict=True)},
    ord("P"): "PERSID",
    ord("o"): "OBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}
_MODULE_SIGNS = (b"_parameters", b"_modules")
"""What follows the class of a pickled module; the legacy format lists it as ``('module', class, source)`` instead."""


def unpickle(pickle: PickleInput, load_persistent: Loader | None = None) -> Any:
    """Return what the pickle at ``pickle.at`` describes, and leave ``pickle.at`` behind its end.

    Parameters
    ----------
    load_persistent : callable, optional
        From a persistent id, a tuple that begins with a text, to what it stands for.

    Returns
    -------
    object
        Dictionaries, lists, tuples, numbers, strings, and the descriptions of `pickle_values`.

    Raises
    ------
    WeightsError
        If the pickle is damaged, names anything that tensors do not need, or grows beyond its limits.
    """
    return _Machine(pickle, load_persistent).run()


class _Machine:
    def __init__(self, pickle: PickleInput, load_persistent: Loader | None) -> None:
        self.pickle = pickle
        self.load_persistent = load_persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []

    def run(self) -> Any:
        if self.pickle.byte() != 0x80 or not 2 <= self.pickle.byte() <= 5:
            self.pickle.fail("another beginning", "a pickle of protocol 2 to 5")
        for _ in range(MAX_OPCODES):
            code = self.pickle.byte()
            if code == ord("."):
                break
            handler = _HANDLERS.get(code)
            if handler is None:
                self.refuse(code)
            handler(self)
        else:
            self.pickle.fail("no end", f"one within {MAX_OPCODES} steps")
        if len(self.stack) != 1 or self.marks:
            self.pickle.fail("an unfinished pickle", "one object at its end: it is damaged")
        return self.stack[0]

    def refuse(self, code: int) -> NoReturn:
        if code == ord("i"):
            self.refuse_name(Token(self.pickle.line(), self.pickle.line()))
        name = _REFUSED.get(code)
        found = f"the instruction {name}" if name else f"the unknown instruction 0x{code:02x}"
        self.pickle.fail(found, "those that tensors need; nothing in the file was run")

    def push(self, value: Any, nbytes: int = 0) -> None:
        if len(self.stack) >= MAX_STACK:
            self.pickle.fail("too many objects at once", f"at most {MAX_STACK}")
        self.pickle.meter.spend(8 + nbytes)
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            self.pickle.fail("an instruction without its object", "a complete pickle: it is damaged")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            self.pickle.fail("an instruction without its mark", "a complete pickle: it is damaged")
        mark = self.marks.pop()
        out = self.stack[mark:]
        del self.stack[mark:]
        return out

    def pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def top(self, kind: type, what: str) -> Any:
        """Return the topmost object, which must be of just this kind, and leave it there."""
        out = self.pop()
        if not isinstance(out, kind):
            self.pickle.fail(f"{what} another object", f"{what} {kind.__name__}")
        self.stack.append(out)
        return out

    def push_text(self, length: int, encoding: str) -> None:
        if length > MAX_TEXT:
            self.push(self.pickle.skip(length, is_text=encoding == "utf-8"), 64)
            return
        try:
            text = self.pickle.take(length).decode(encoding)
        except UnicodeDecodeError:
            self.pickle.fail("text that is no UTF-8", "text")
        self.push(text, 60 + length * (1 if text.isascii() else 4))

    def push_token(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            self.pickle.fail("a name that is no text", "text")
        token = Token(module, name)
        if token not in _NAMES:
            self.refuse_name(token)
        self.push(token, 64)

    def refuse_name(self, token: Token) -> NoReturn:
        name = show(str(token)[:120])
        is_listed_class = bool(self.stack) and isinstance(self.stack[-1], str) and self.stack[-1] == "module"
        if token.module.startswith("megengine.traced_module"):
            message = f"found {name}: a MegEngine TracedModule, not weights; save its state_dict() with megengine.save"
        elif is_listed_class or any(sign in self.pickle.peek(1 << 14) for sign in _MODULE_SIGNS):
            message = f"found {name}: a whole pickled module, not weights; save its state_dict() instead"
        else:
            message = f"found the name {name}, expected only names that tensors need; save just the state_dict()"
        where = show(".".join(self.keys())[:200]) or None
        raise WeightsError(
            f"pickle: {message}. Nothing in the file was run",
            code="weights.pickle",
            file=self.pickle.file.name,
            where=where,
        )

    def keys(self) -> list[str]:
        """Return the keys of the dictionaries that are being filled, from the outermost, as far as they are known."""
        bounds = [*self.marks, len(self.stack)]
        out = []
        for number, begin in enumerate(self.marks, 1):
            # What fills the next dictionary inwards lies behind it; the key of that one is the last but one here.
            key = bounds[number] - (1 if number == len(self.marks) else 2)
            if begin and isinstance(self.stack[begin - 1], dict) and key >= begin and isinstance(self.stack[key], str):
                out.append(self.stack[key])
        if not self.marks and len(self.stack) > 1 and isinstance(self.stack[-1], str):
            out.append(self.stack[-1])
        return out

    def put(self, index: int) -> None:
        # The pickler of Python 2 counts from 1.
        if index == 1 and not self.memo:
            self.memo.append(None)
        if not self.stack or index > len(self.memo):
            self.pickle.fail(f"place {index} to remember an object at", f"the next one, {len(self.memo)}")
        self.pickle.meter.spend(9)
        self.memo[index : index + 1] = [self.stack[-1]]

    def get(self, index: int) -> None:
        if index >= len(self.memo):
            self.pickle.fail(f"a reference to object {index}", f"one of the {len(self.memo)} seen: it is damaged")
        self.push(self.memo[index])

    def set_items(self, items: list[Any] | tuple[Any, ...]) -> None:
        target = self.top(dict, "items for")
        if len(items) % 2:
            self.pickle.fail("a key without a value", "pairs")
        for key, value in zip(items[::2], items[1::2], strict=True):
            put_item(self.pickle, target, key, value)

    def append(self, items: list[Any] | tuple[Any, ...]) -> None:
        target = self.top(list, "items for")
        self.pickle.meter.spend(9 * len(items))
        target.extend(items)

    def push_tuple(self, items: tuple[Any, ...]) -> None:
        self.push(items, 48 + 8 * len(items) if items else 0)

    def reduce(self, rules: dict[Token, Any]) -> None:
        token, args = self.pop_many(2)
        rule = rules.get(token) if isinstance(token, Token) else None
        if rule is None or not isinstance(args, tuple):
            found = f"a call of {show(str(token))}" if isinstance(token, Token) else "a call of what is no name"
            self.pickle.fail(found, "only what tensors need; nothing in the file was run")
        self.push(rule(self.pickle, args), 120)

    def build(self) -> None:
        state = self.pop()
        target = self.pop()
        match target:
            case Ordered() if isinstance(state, dict) and len(state) <= 1 and set(state) <= {"_metadata"}:
                pass
            case Record() if isinstance(state, dict):
                for key, value in state.items():
                    put_item(self.pickle, target, key, value)
            case Dtype():
                set_byte_order(self.pickle, target, state)
            case Shell(kind="array"):
                fill_array(self.pickle, target, state)
            case Shell(kind="tensor"):
                fill_tensor(self.pickle, target, state)
            case _:
                self.pickle.fail("a state for an object that has none", "states of arrays and tensors")
        self.stack.append(target)

    def persistent(self) -> None:
        key = self.pop()
        if self.load_persistent is None or not isinstance(key, tuple) or not key or not isinstance(key[0], str):
            self.pickle.fail("a reference out of the file", "none, or a storage")
        self.push(self.load_persistent(self.pickle, key), 160)

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.push({}, 72)
        self.set_items(items)

    def make_list(self) -> None:
        items = self.pop_mark()
        self.push([], 72)
        self.append(items)

    def make_set(self) -> None:
        self.pop_mark()
        self.push(Bag(), 72)

    def mark(self) -> None:
        if len(self.marks) >= MAX_MARKS:
            self.pickle.fail(f"more than {MAX_MARKS} things inside each other", "weights")
        self.marks.append(len(self.stack))

    def drop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def twice(self) -> None:
        value = self.pop()
        self.stack.append(value)
        self.push(value)

    def long(self, length: int) -> None:
        # Nothing a tensor needs has more than 64 bits; the magic number of old torch files has 80.
        if length > 16:
            self.pickle.fail(f"a number of {length} bytes", "at most 16")
        self.push(self.pickle.number(length, signed=True), 40)

    def frame(self) -> None:
        """Frames only tell a reader how much to fetch; objects may lie across them."""
        length, left = self.pickle.number(8), self.pickle.data.size - self.pickle.at
        if length > left:
            self.pickle.fail(f"a frame of {length} bytes with {left} bytes left", "one within them: it is cut short")

    def float(self) -> None:
        self.push(struct.unpack(">d", self.pickle.take(8))[0], 24)


def _bytes_of(width: int) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.pickle.skip(m.pickle.number(width)), 64)


def _text_of(width: int, encoding: str = "utf-8") -> Callable[[_Machine], None]:
    return lambda m: m.push_text(m.pickle.number(width), encoding)


_HANDLERS: dict[int, Callable[[_Machine], Any]] = {
    0x95: _Machine.frame,
    # Constants
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.pickle.number(1)),
    ord("M"): lambda m: m.push(m.pickle.number(2), 32),
    ord("J"): lambda m: m.push(m.pickle.number(4, signed=True), 32),
    0x8A: lambda m: m.long(m.pickle.number(1)),
    0x8B: lambda m: m.long(m.pickle.number(4)),
    ord("G"): _Machine.float,
    # Text and bytes: the length in 1, 4 or 8 bytes, then so many. The first two are what Python 2 calls str.
    ord("U"): _text_of(1, "latin-1"),
    ord("T"): _text_of(4, "latin-1"),
    0x8C: _text_of(1),
    ord("X"): _text_of(4),
    0x8D: _text_of(8),
    ord("C"): _bytes_of(1),
    ord("B"): _bytes_of(4),
    0x8E: _bytes_of(8),
    0x96: _bytes_of(8),
    # Containers
    ord("("): _Machine.mark,
    ord("]"): lambda m: m.push([], 72),
    ord("l"): _Machine.make_list,
    ord("a"): lambda m: m.append((m.pop(),)),
    ord("e"): lambda m: m.append(m.pop_mark()),
    ord(")"): lambda m: m.push_tuple(()),
    0x85: lambda m: m.push_tuple(m.pop_many(1)),
    0x86: lambda m: m.push_tuple(m.pop_many(2)),
    0x87: lambda m: m.push_tuple(m.pop_many(3)),
    ord("t"): lambda m: m.push_tuple(tuple(m.pop_mark())),
    ord("}"): lambda m: m.push({}, 72),
    ord("d"): _Machine.make_dict,
    ord("s"): lambda m: m.set_items(m.pop_many(2)),
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    0x8F: lambda m: m.push(Bag(), 72),
    0x90: lambda m: m.append(m.pop_mark()),
    0x91: _Machine.make_set,
    # The stack itself
    ord("0"): _Machine.drop,
    ord("1"): _Machine.pop_mark,
    ord("2"): _Machine.twice,
    # Objects seen before
    ord("q"): lambda m: m.put(m.pickle.number(1)),
    ord("r"): lambda m: m.put(m.pickle.number(4)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.pickle.number(1)),
    ord("j"): lambda m: m.get(m.pickle.number(4)),
    # Names and what is made by them
    ord("c"): lambda m: m.push_token(m.pickle.line(), m.pickle.line()),
    0x93: lambda m: m.push_token(*m.pop_many(2)),
    ord("R"): lambda m: m.reduce(_REDUCE),
    0x81: lambda m: m.reduce(_NEWOBJ),
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent,
}
