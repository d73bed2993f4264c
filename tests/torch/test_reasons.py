"""What torch says, reduced to what is wrong and what to do."""

from __future__ import annotations

import pytest

from mconv.torch.reasons import joined, reason

pytest.importorskip("torch")
from mconv.torch.exporting import first_line


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Could not guard on data-dependent expression Eq(u0, 1) (unhinted: Eq(u0, 1)).\n\nmore", "torch._check"),
        ("Type <class 'transformers.cache_utils.DynamicCache'> is not supported", "use_cache=False"),
        ("Only tuples, lists and Variables are supported as JIT inputs/outputs. … unsupported type: set", "a set"),
        ("Exporting the operator 'aten::histc' to ONNX opset version 17 is not supported. Please …", "no aten::histc"),
        ("C.forward() missing 1 required positional argument: 'mask'", "needs 'mask' too (say it with --input)"),
        ("forward() got an unexpected keyword argument 'ids'", "no input ids (--input"),
        ("\x1b[31mwrong\x1b[0m\nmore", "wrong"),
        ("it fails. See the stack trace for more information.", "it fails."),
        ("", ""),
    ],
)
def test_short_and_what_to_do(text: str, wanted: str) -> None:
    found = reason(text)
    assert wanted in found and len(found) <= 160 and "\n" not in found and "\x1b" not in found
    assert len(reason("x" * 5000)) <= 160


def test_the_exporter_s_steps_are_left_out() -> None:
    error = RuntimeError("Failed to export the model with torch.export. This is step 1/3 of exporting … Next steps:")
    error.__cause__ = TypeError("zeros(): argument 'size' must be tuple of ints")
    assert first_line(error) == "TypeError: zeros(): argument 'size' must be tuple of ints"


def test_the_same_reason_is_said_once() -> None:
    told = ["torch.export: a set is none", "torch.export strict: a set is none", "the script: no: not at all"]
    assert joined(told) == "torch.export and torch.export strict: a set is none; the script: no: not at all"
