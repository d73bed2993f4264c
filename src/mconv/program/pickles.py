"""What a pickle would build, found without building it.

:func:`walk` follows the instructions of a pickle on a stack of its own. Names stay names, calls stay calls; nothing is
looked up, imported or run, and nothing takes more memory than the file has bytes. A pickle that this cannot follow is
damaged: so unpicklers written in C, which trust the numbers in it, only meet pickles that are sound.

The instructions: CPython's ``pickletools.py``, protocols 0 to 5.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Optional, Union, cast


class Damaged(Exception):
    """The pickle contradicts itself, or is no pickle."""


@dataclass(eq=False)
class Name:
    """A class or function that the pickle names: ``collections.OrderedDict``."""

    full: str


@dataclass(eq=False)
class Made:
    """What calling a name would give: its arguments, and what is set on it afterwards."""

    function: Any
    arguments: tuple[Any, ...]
    items: list[Any] = field(default_factory=list)
    state: Any = None


@dataclass(eq=False)
class Kept:
    """An object that is kept outside of the pickle, by what it is asked for with."""

    key: Any


# what a call gives where it is known: of a function's name and its arguments; None: nothing special
Calls = Callable[[str, tuple[Any, ...]], Any]


class Bytes:
    """A file that gives no more than it has, however much is asked for: a length in a damaged pickle may be anything."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        self.offset = file.tell()  # kept here: asking the file takes longer than reading from it

    def read(self, count: int) -> bytes:
        found = self.file.read(max(0, min(count, self.size - self.offset)))
        self.offset += len(found)
        return found

    def readline(self) -> bytes:
        found = self.file.readline(1 << 16)
        self.offset += len(found)
        return found

    def tell(self) -> int:
        return self.offset


def walk(
    source: Union[bytes, Bytes],
    *,
    name: Callable[[str], None] = lambda full: None,
    call: Calls = lambda function, arguments: None,
    keep: Callable[[Any], Any] = Kept,
    by_name: bool = False,
) -> Any:
    """What the next pickle of *source* describes: plain values, lists, dicts, tuples, and :class:`Name`,
    :class:`Made` and :class:`Kept` where it names, calls or refers to something.

    Args:
        name: called with every name; may raise.
        call: what a call gives, as far as it is known; may raise.
        keep: what stands for an object kept elsewhere; may raise.
        by_name: nothing but a name may be called. (torch's unpickler in C++ calls its fifth name where it finds a 5.)

    Raises:
        Damaged: it is no sound pickle.
    """
    machine = _Machine(name, call, keep, by_name)
    try:
        for opcode, argument, _ in pickletools.genops(cast(BinaryIO, source)):
            if machine.step(opcode.name, argument):
                return machine.stack[0]
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError, UnicodeError) as e:
        raise Damaged(str(e)[:160] or type(e).__name__) from None
    raise Damaged("it does not end")


_VALUES = frozenset((
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BYTEARRAY8",
))  # fmt: skip
_LONG = 1 << 16
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_SHORT = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    def __init__(self, name: Callable[[str], None], call: Calls, keep: Callable[[Any], Any], by_name: bool):
        self.name, self.call, self.keep, self.by_name = name, call, keep, by_name
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def step(self, code: str, argument: Any) -> bool:
        """Follow one instruction; whether it was the last."""
        self.steps += 1
        stack = self.stack
        if code in _VALUES:
            # the bytes of an array need not be held to follow the rest
            stack.append(argument[:64] if isinstance(argument, (str, bytes)) and len(argument) > _LONG else argument)
        elif code in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self.memorise(len(self.memo) if code == "MEMOIZE" else argument)
        elif code in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _SHORT:
            stack.append(tuple(self.several(_SHORT[code])))
        elif code == "MARK":
            self.marks.append(len(stack))
        elif code in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            self.collect(code)
        elif code in ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self.fill(code)
        elif code in ("GLOBAL", "STACK_GLOBAL"):
            self.named(argument)
        elif code in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"):
            self.made(code, argument)
        elif code == "BUILD":
            self.built()
        elif code in ("BINPERSID", "PERSID"):
            stack.append(self.keep(self.pop() if code == "BINPERSID" else argument))
        elif code == "DUP":
            stack.append(stack[-1])
        elif code in ("POP", "POP_MARK"):
            self.pop() if code == "POP" and self.floor() < len(stack) else self.marked()
        elif code == "STOP":
            if len(stack) != 1 or self.marks:
                raise Damaged("it ends in the middle of something")
            return True
        elif code not in ("PROTO", "FRAME"):
            raise Damaged(f"the instruction {code}")
        return False

    def floor(self) -> int:
        return self.marks[-1] if self.marks else 0

    def pop(self) -> Any:
        if len(self.stack) <= self.floor():
            raise Damaged("it takes what is not there")
        return self.stack.pop()

    def several(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def marked(self) -> list[Any]:
        """Everything since the last mark, taken from the stack."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def top(self) -> Any:
        if len(self.stack) <= self.floor():
            raise Damaged("it takes what is not there")
        return self.stack[-1]

    def memorise(self, number: int) -> None:
        if not 0 <= number <= self.steps:  # unpicklers in C make a table of that size
            raise Damaged(f"a memory of {number} things")
        self.memo[number] = self.top()

    def collect(self, code: str) -> None:
        items = self.marked()
        if code == "DICT":
            self.stack.append({})
            self.put(items)
        else:
            self.stack.append(tuple(items) if code == "TUPLE" else items)
            if code == "FROZENSET":
                keys(items)

    def fill(self, code: str) -> None:
        items = self.marked() if code.endswith("S") else self.several(2 if code == "SETITEM" else 1)
        if code.startswith("SETITEM"):
            self.put(items)
            return
        if code == "ADDITEMS":
            keys(items)
        into = self.top()
        if isinstance(into, Made):
            into.items += items
        elif isinstance(into, list):
            into += items
        else:
            raise Damaged("it appends to what is no list")

    def put(self, items: list[Any]) -> None:
        into = self.top()
        if len(items) % 2:
            raise Damaged("a key without a value")
        keys(items[::2])
        if isinstance(into, Made):
            into.items += zip(items[::2], items[1::2])
        elif isinstance(into, dict):
            into.update(zip(items[::2], items[1::2]))
        else:
            raise Damaged("it stores under a key what is no dictionary")

    def named(self, argument: Optional[str]) -> None:
        if argument is None:
            module, attribute = self.several(2)
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise Damaged("a name that is no text")
            argument = f"{module} {attribute}"
        full = argument.replace(" ", ".", 1)
        self.name(full)
        self.stack.append(Name(full))

    def made(self, code: str, argument: Any) -> None:
        if code == "INST":
            self.named(argument)
            function, arguments = self.pop(), tuple(self.marked())
        elif code == "OBJ":
            function, *rest = self.marked()
            arguments = tuple(rest)
        elif code == "NEWOBJ_EX":
            function, arguments, named = self.several(3)
            if not isinstance(named, dict):
                raise Damaged("a call without arguments")
            if isinstance(arguments, tuple):
                arguments = (*arguments, named)
        else:
            function, arguments = self.several(2)
        if not isinstance(arguments, tuple):
            raise Damaged("a call without arguments")
        result = None
        if isinstance(function, Name):
            result = self.call(function.full, arguments)
        elif self.by_name:
            raise Damaged("a call of what is no name")
        self.stack.append(Made(function, arguments) if result is None else result)

    def built(self) -> None:
        state = self.pop()
        into = self.top()
        if isinstance(into, Made):
            into.state = state


def keys(values: Sequence[Any]) -> None:
    """Raises Damaged where one of the values is no key of a dictionary: text, a number, or a short tuple of those.

    A tuple of tuples takes exponential time to hash.
    """
    for value in values:
        if isinstance(value, (list, dict, bytearray)):
            raise Damaged("a key that is no name")
        if isinstance(value, tuple) and (len(value) > 64 or any(isinstance(v, (tuple, list, dict)) for v in value)):
            raise Damaged("a key that is no name")
