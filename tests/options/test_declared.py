"""What may be said of a conversion: what does not fit together is refused before anything is read."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import typing
from pathlib import Path
from typing import Any

import pytest

from mconv import api, options
from mconv.errors import UsageError
from mconv.options.convert import Convert
from mconv.options.declare import Declared, Options, declared, fields
from mconv.options.layers import ToStatic
from mconv.options.onnx import Onnx2Paddle, ToOnnx
from mconv.options.proving import Converting, Proving
from mconv.options.torch import Torch2Paddle, Transplant


def made(kind: type[Options], **given: Any) -> Any:
    """One of it, with something for each argument."""
    return kind(*["x"] * {Transplant: 3, ToStatic: 1}.get(kind, 2), **given)


ALL = (Convert, Onnx2Paddle, ToOnnx, ToStatic, Torch2Paddle, Transplant)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tolerance": 0.0}, "--tolerance 0.0: must be above 0"),
        ({"tolerance": float("nan")}, "--tolerance nan: must be above 0"),
        ({"verify": False, "feeds": "x.npz"}, "--inputs and --runtime say how to verify, and --no-verify not to"),
        ({"verify": False, "runtime": "current"}, "--inputs and --runtime say how to verify, and --no-verify not to"),
    ],
)
def test_what_is_said_of_the_proof(kind: type[Proving], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        made(kind, **given)
    assert error.value.message.endswith(message)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        *((kind, {"target": "2.7"}, "unknown target '2.7'") for kind in ALL if issubclass(kind, Converting)),
        (ToOnnx, {"engine": "paddle2onnx", "opset": 6}, "--opset 6: paddle2onnx writes 7 to 20"),
        (ToOnnx, {"verify": False, "inputs": ["x[1]"]}, "--input, --inputs and --runtime say how to verify"),
        (Onnx2Paddle, {"engine": "other"}, "unknown engine 'other'"),
        (Torch2Paddle, {"engine": "other"}, "unknown engine 'other'"),
        (Torch2Paddle, {"via": "jit"}, "--via jit: unknown"),
        (Torch2Paddle, {"engine": "x2paddle", "via": "export"}, "X2Paddle reads ONNX"),
        (ToStatic, {"format": "onnx"}, "unknown format 'onnx'"),
        (ToStatic, {"format": "json", "output_names": ["y"]}, "--output-names: a .json is left as Paddle writes it"),
    ],
)
def test_what_one_verb_refuses(kind: type[Proving], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        made(kind, **given)
    assert message in error.value.message


def test_what_is_passed_on() -> None:
    chosen = Convert("m.pt", "out", target="2.6", feeds="x.npz", tolerance=1e-3, timeout=7, arguments=("a=1",))
    passed = chosen.of_layer("inside")
    assert (passed.goal.name, passed.feeds_file, passed.timeout) == ("2.6", Path("x.npz"), 7)
    assert passed.tolerance == chosen.tolerance == 1e-3
    assert (passed.layer, passed.path, passed.arguments) == ("m.pt", "inside", ("a=1",))
    assert chosen.of_torch("inside").arguments == ("a=1",) and chosen.of_onnx("inside").goal is chosen.goal


def test_a_transplant_has_no_format_to_choose() -> None:
    assert made(Transplant).form == "pdmodel"
    with pytest.raises(TypeError):
        made(Transplant, format="json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"into": "f.py:g", "keep_dtype": True, "outputs": ["y"]}, "--output, --keep-dtype: not with --into"),
        ({"rules": ["bert-paddlenlp"], "into_arguments": ["a=1"]}, "--rules, --into-arg: only with --into"),
    ],
)
def test_with_into_and_without(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        made(Torch2Paddle, **given)
    assert message in error.value.message


def numbers() -> list[Any]:
    """Every option of every class that is a number."""
    found = {}
    for module in pkgutil.iter_modules(options.__path__):
        for kind in vars(importlib.import_module(f"mconv.options.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Options) and kind is not Options:
                for d in declared(kind):
                    plain = {h for h in (d.hint, *typing.get_args(d.hint)) if h in (int, float)}
                    if plain and "Mapping" not in str(d.hint) and "str" not in str(d.hint):
                        found.setdefault(
                            (d.name, str(sorted(d.schema.items()))),
                            pytest.param(kind, d, id=f"{kind.__name__}.{d.name}"),
                        )
    return list(found.values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("kind", "told"), numbers())
def test_no_option_takes_what_is_no_number(kind: type[Options], told: Declared, value: float) -> None:
    given = {f.name: "x" for f in fields(kind) if f.default is dataclasses.MISSING}
    with pytest.raises(UsageError, match=told.flag):
        kind(**{**given, told.name: value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timeout": 0}, "--timeout 0: must be above 0"),
        ({"timeout": -1.5}, "--timeout -1.5: must be above 0"),
        ({"timeout": math.nan}, "--timeout nan: must be a finite number"),
    ],
)
def test_a_time_is_one(given: dict[str, Any], message: str) -> None:
    for kind in ALL:
        with pytest.raises(UsageError) as error:
            made(kind, **given)
        assert error.value.message == message


def test_one_is_plain_data_that_stays_as_it_is() -> None:
    one, same, other = Onnx2Paddle("m", "out"), Onnx2Paddle("m", out="out"), Onnx2Paddle("m", "out", force=True)
    assert one == same and hash(one) == hash(same) and one != other and one != made(ToOnnx)
    assert dataclasses.replace(one, force=True) == other
    assert repr(other).startswith("Onnx2Paddle(model='m', out='out', ") and "force=True" in repr(other)
    with pytest.raises(dataclasses.FrozenInstanceError, match="force"):
        one.force = True
    with pytest.raises(dataclasses.FrozenInstanceError, match="force"):
        del one.force


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (api.inspect, ["a\0b"], "path"),
        (api.onnx2paddle, ["m.onnx", Path("a\0b")], "out"),
        (api.convert, ["m.onnx", "a\0b"], "out"),
    ],
)
def test_no_path_has_a_nul(function: Any, arguments: list[Any], name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: 'a\\x00b' has a NUL character"):
        function(*arguments)
