"""What an error says to do, in the words of a recipe: the options of the single commands are fields there."""

from __future__ import annotations

import re
from typing import Optional

# an option as hints name it → the field; values stay
_FIELDS: list[tuple[str, str]] = [
    (r"--inputs ([^\s;,)]+)", r"verification: {data: \1}"),
    (r"--inputs\b", "verification: {data: x.npz}"),
    (r"--input ('[^']*'|[^\s;,)]+)", r"inputs: [\1]"),
    (r"--input\b", "inputs"),
    (r"--weights ([^\s;,)]+)", r"source: {weights: \1}"),
    (r"--trust\b", "source: {trust: true}"),
    (r"--no-verify\b", "verify: false"),
    (r"--const ([\w.]+)=([^\s;,)]+)", r"constants: {\1: \2}"),
    (r"--output ([^\s;,)]+)", r"outputs: [\1]"),
    (r"--(carry|keep|accept)-(state|dtype|frozen)\b", r"\1_\2: true"),
    (r"--(deterministic|partial|strict|layers)\b", r"\1: true"),
    (r"--min ('[^']*')", r"minimum: [\1]"),
    (r"--opt ('[^']*')", r"optimum: [\1]"),
    (r"--max ('[^']*')", r"maximum: [\1]"),
    (r"--trt-inputs\b", "trt_inputs: true"),
    (r"--(limit|target|runtime|engine|via|task|opset) ([\w.\-]+)", r"\1: \2"),
    (r"--(limit|target|runtime|engine|via|task|opset|timeout|tolerance|outputs?)\b", r"\1"),
]


def in_recipe(hint: Optional[str]) -> Optional[str]:
    """A hint that names options of the commands, with the fields of a recipe in their place."""
    if hint is None:
        return None
    said, command, rest = re.match(r"(.*?)(`?mconv |$)(.*)", hint, re.DOTALL).groups()  # type: ignore[union-attr]
    for option, field in _FIELDS:
        said = re.sub(option, field, said)
    return f"{said}{command}{rest}"  # a command to type keeps its options
