"""What a method is called with: texts, InputSpecs, guesses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mconv.dygraph.inputs import Slot, from_specs, from_texts, guess, to_type
from mconv.errors import UsageError


class Methods:
    def bert(
        self, input_ids: Any, token_type_ids: Any = None, position_ids: Any = None, attention_mask: Any = None
    ) -> Any: ...

    def star(self, *parts: Any, **more: Any) -> Any: ...

    def keywords(this, x: Any, *, shift: Any, flag: bool = False) -> Any: ...

    def image(self, image: Any) -> Any: ...

    def unknown(self, x: Any, y: Any) -> Any: ...

    def nothing(self) -> Any: ...


M = Methods()


def spec(name: Any, shape: Any = (None, None), dtype: str = "paddle.int64") -> Any:
    """As paddle.static.InputSpec."""
    return SimpleNamespace(name=name, shape=shape, dtype=dtype)


def test_texts_go_to_their_names() -> None:
    call = from_texts(["attention_mask:int64[?,-1]", "input_ids[None,len]:int32"], M.bert, "Bert.forward")
    assert [str(i) for i in call.inputs] == ["attention_mask:int64[?,?]", "input_ids:int32[?,len]"]
    assert call.args == [] and call.kwargs == {"input_ids": Slot(1), "attention_mask": Slot(0)}
    args, kwargs = call.filled(["a", "b"])
    assert args == [] and kwargs == {"input_ids": "b", "attention_mask": "a"}


def test_keyword_only_and_star() -> None:
    call = from_texts(["x:float32[4]", "shift:float32[4]"], M.keywords, "K.forward")
    # the default is passed on: Paddle 3.0 loses it
    assert call.kwargs == {"x": Slot(0), "shift": Slot(1), "flag": False}
    call = from_texts(["a:float32[4]", "b:float32[4]"], M.star, "Star.forward")
    assert call.args == [Slot(0), Slot(1)] and call.kwargs == {}


@pytest.mark.parametrize(
    ("texts", "message", "hint"),
    [
        (["input_id:int64[?]"], "no parameter 'input_id'", "did you mean 'input_ids'"),
        (["q:int64[?]"], "no parameter 'q'", "input_ids, token_type_ids"),
        (["input_ids[?,?]"], "element type is not said", "input_ids:int64[?,?]"),
        (["input_ids:int64[?]", "input_ids:int64[?]"], "twice", None),
        (["token_type_ids:int64[?,?]"], "missing a required argument: 'input_ids'", "--input 'input_ids:int64[?,?]'"),
        (["input_ids:text[?]"], "'text' is no element type", None),
        (["input_ids:int64"], "not the name of an input and its shape", None),
        (["input_ids:uint16[?]"], "no element type uint16", None),
        (["input_ids:int64[0]"], "no size of a dimension", None),
    ],
)
def test_wrong_texts(texts: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as error:
        from_texts(texts, M.bert, "Bert.forward")
    assert message in error.value.message and "\n" not in error.value.message
    assert hint is None or hint in (error.value.hint or "")


def test_the_articles_specs_go_by_their_names() -> None:
    """The third of the article's InputSpecs, attention_mask, stands where PaddleNLP has position_ids."""
    call = from_specs([spec("input_ids"), spec("token_type_ids"), spec("attention_mask")], M.bert, "Bert.forward")
    assert call.kwargs == {"input_ids": Slot(0), "token_type_ids": Slot(1), "attention_mask": Slot(2)}
    assert len(call.notes) == 1 and "'position_ids'" in call.notes[0]


def test_other_names_go_by_position() -> None:
    call = from_specs([spec("ids"), spec(None)], M.bert, "Bert.forward")
    assert call.args == [Slot(0), Slot(1)] and [i.name for i in call.inputs] == ["ids", "token_type_ids"]
    call = from_specs([[spec(None), {"a": spec("b")}], 3], M.star, "Star.forward")
    assert call.args == [[Slot(0), {"a": Slot(1)}], 3] and [i.name for i in call.inputs] == ["input_0_0", "b"]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "missing a required argument"),
        ([spec("a")] * 2, "two inputs are called 'a'"),
        ([spec(None)] * 5, "too many positional arguments"),
        ("input_ids", "is a str, not a list"),
        (spec("a"), "not a list"),
        ([1], "no tensor in it"),
        ([spec("a", dtype="string")], "no element type string"),
    ],
)
def test_wrong_specs(specs: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_specs(specs, M.bert, "Bert.forward")


def test_guesses() -> None:
    empty = SimpleNamespace(sublayers=lambda include_self: [])
    assert [str(i) for i in guess(M.bert, empty, "B").inputs] == ["input_ids:int64[batch,length]"]
    assert [str(i) for i in guess(M.image, empty, "I").inputs] == ["image:float32[batch,3,height,width]"]
    for function, wanted in ((M.unknown, to_type("x") + " " + to_type("y")), (M.nothing, to_type("x"))):
        with pytest.raises(UsageError) as error:
            guess(function, empty, "X.forward")
        assert wanted in (error.value.hint or "") and "cannot be guessed" in error.value.message
