"""What a pickle would build, without building it."""

from __future__ import annotations

import collections
import io
import os
import pickle
import random
from typing import Any

import numpy as np
import pytest

from mconv.program import pickles
from mconv.program.pickles import Damaged, Kept, Made, Name

VALUE = {
    "numbers": [1, -2, 2.5, True, None, 10**30],
    "texts": ("a", b"b", "ü"),
    "nested": {"x": {("k", 1): [()]}},
    3: collections.OrderedDict(a=1),
    "array": np.arange(3),
    "set": {1, 2},
}


def shown(value: Any) -> Any:
    """A value as the machine gives it: calls by their names."""
    if isinstance(value, Made):
        return shown(value.function), shown(value.arguments)
    if isinstance(value, Name):
        return value.full
    if isinstance(value, (list, tuple)):
        return [shown(v) for v in value]
    return {k: shown(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int) -> None:
    names: list[str] = []
    found = pickles.walk(pickle.dumps(VALUE, protocol), name=names.append)
    assert found["numbers"] == VALUE["numbers"] and found["nested"] == VALUE["nested"]
    assert shown(found["texts"])[0] == "a" and list(found) == list(VALUE)
    assert "collections.OrderedDict" in names and any(n.startswith("numpy") for n in names)


def test_nothing_is_called() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.abort, ()

    found = pickles.walk(pickle.dumps([Evil()]))
    assert shown(found) == [(f"{os.abort.__module__}.abort", [])]
    with pytest.raises(ZeroDivisionError):  # what is given may raise

        def name(full: str) -> None:
            raise ZeroDivisionError

        pickles.walk(pickle.dumps([Evil()]), name=name)


def test_objects_kept_elsewhere_and_several_pickles() -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", 3) if value is Ellipsis else None

    out = io.BytesIO()
    Pickler(out, 2).dump({"a": ...})
    pickle.dump([1], out, 4)
    out.seek(0)
    source = pickles.Bytes(out, len(out.getvalue()))
    kept = pickles.walk(source)["a"]
    assert isinstance(kept, Kept) and kept.key == ("storage", 3)
    assert pickles.walk(source) == [1]
    with pytest.raises(Damaged):
        pickles.walk(source)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02K\x01K\x02.",  # two things
        b"\x80\x02(K\x01.",  # an open mark
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memory of two billion things
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",
        b"\x80\x02h\x05.",
        b"\x80\x02a.",
        b"\x80\x02K\x01K\x02a.",  # to what is no list
        b"\x80\x02K\x01(K\x02e.",
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02}]K\x01s.",  # a list as a key
        b"\x80\x02(K\x01K\x02K\x03tR.",
        b"\x80\x02cos\nabort\nK\x01R.",  # called with a number
        b"\x80\x02X\xff\xff\xff\x7fa.",  # a text longer than the file
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x05\x97.",  # a buffer from elsewhere
        b"\x80\x02\x86.",
        b"\x80\x04\x93.",
    ],
)
def test_damaged(raw: bytes) -> None:
    with pytest.raises(Damaged):
        pickles.walk(raw)


def test_a_key_that_takes_for_ever_to_hash() -> None:
    """Tuples of tuples, sixty levels deep: the hash of each asks for those of both of its halves."""
    deep = b"\x80\x02}K\x01" + b"q\x01h\x01\x86" * 60 + b"K\x01s."
    with pytest.raises(Damaged, match="key"):
        pickles.walk(deep)


def test_calls_by_name_alone() -> None:
    raw = b"\x80\x02K\x05)R."
    assert isinstance(pickles.walk(raw), Made)
    with pytest.raises(Damaged, match="no name"):
        pickles.walk(raw, by_name=True)


def test_random_damage() -> None:
    """Whatever the bytes: a value, or Damaged."""
    rng = random.Random(0)
    whole = pickle.dumps(VALUE, 2), pickle.dumps(VALUE, 5), pickle.dumps(VALUE, 0)
    outcomes = collections.Counter[str]()
    for _ in range(3000):
        raw = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            pickles.walk(bytes(raw[: rng.randrange(1, len(raw) + 1)] if rng.random() < 0.3 else raw))
            outcomes["read"] += 1
        except Damaged:
            outcomes["damaged"] += 1
    assert outcomes["read"] > 100 and outcomes["damaged"] > 500
