"""The text form of inputs."""

from __future__ import annotations

import pytest

from mconv.errors import UsageError
from mconv.program.inputs import InputShape, assign, parse_input


@pytest.mark.parametrize(
    ("text", "name", "dims", "dtype"),
    [
        ("x[1,3,224,224]", "x", (1, 3, 224, 224), None),
        ("x[1,3,?,640]", "x", (1, 3, None, 640), None),
        ("x[-1, None ,4]", "x", (None, None, 4), None),
        ("x[batch,length]", "x", ("batch", "length"), None),
        ("x[]", "x", (), None),
        ("x[2]{i64}", "x", (2,), "int64"),
        ("x[2]:float32", "x", (2,), "float32"),
        ("a:0[2]", "a:0", (2,), None),
        ("a[0]:b[2]", "a[0]:b", (2,), None),
        ("model/in put.1 é'\"[?]", "model/in put.1 é'\"", (None,), None),
        ("a\nb[1]", "a\nb", (1,), None),
    ],
)
def test_forms(text: str, name: str, dims: tuple, dtype: str) -> None:
    assert parse_input(text) == InputShape(name, dims, dtype)


@pytest.mark.parametrize(
    "text",
    ["x", "", "[1]", "x[1", "x1]", "x[1,,2]", "x[1.5]", "x[0]", "x[-2]", "x[1 2]", "x[2147483648]", f"x[{'9' * 400}]",
     "x[2]{i65}", "x[2]:", "x[a-b]", "x[1;2]"],
)  # fmt: skip
def test_other_forms_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input(text)
    assert "\n" not in caught.value.message


def test_the_model_settles_what_the_text_leaves_open() -> None:
    inputs = {"ids:int64": "float32", "ids": "int64", "x": "float32"}
    assert list(assign(["ids:int64[1]"], inputs)) == ["ids:int64"]
    found = assign(["ids:i64[?,?]"], {"ids": "int64"})
    assert found["ids"].dims == (None, None)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["y[1]"], "no input 'y'"),
        (["x[1]", "x[2]"], "twice"),
        (["x[1]:int64"], "is float32, not int64"),
        (["x:int64[1]"], "is float32, not int64"),
    ],
)
def test_what_does_not_fit_the_model_is_an_error(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assign(texts, {"x": "float32"})
