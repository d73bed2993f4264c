"""What SPECs name: factories, their arguments, what is missing for them, and what is read for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mconv.errors import MissingDependencyError, UsageError
from mconv.factory.loading import find, parse_arguments, read_of


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


def test_a_package_that_is_not_there_is_looked_for_by_this_python(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(MissingDependencyError, match="net.py: No module named 'a_package_that_nobody_has'") as caught:
        find(f"{tmp_path}/net.py:Net")
    assert caught.value.hint is not None and sys.executable in caught.value.hint


def test_what_is_read_for_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("")
    assert read_of(f"{file}:Net") == read_of(file) == [str(file)] and read_of(tmp_path) == [str(tmp_path)]
    assert (
        read_of("torch.nn:Linear") == read_of(f"{tmp_path}/gone.py:Net") == read_of("gone") == read_of(object()) == []
    )
