"""Factories' arguments."""

from __future__ import annotations

import pytest

from mconv.errors import UsageError
from mconv.factory.loading import parse_arguments


def test_literals() -> None:
    texts = ["a=1", "b=1e-3", "c=[1, 2]", "d='x'", "e=gelu", "f=true", "g=null", "h=(3, None)", "i=a=b", "j="]
    assert parse_arguments(texts) == {
        "a": 1, "b": 1e-3, "c": [1, 2], "d": "x", "e": "gelu", "f": True, "g": None, "h": (3, None), "i": "a=b", "j": "",
    }  # fmt: skip
    for bad in (["a"], ["=1"], ["1a=2"], ["a=1", "a=2"]):
        with pytest.raises(UsageError):
            parse_arguments(bad)
    # a literal is not evaluated
    assert parse_arguments(["a=__import__('os').system('true')"]) == {"a": "__import__('os').system('true')"}
