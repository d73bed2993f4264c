"""What a request can carry to do harm: texts of arrays, and damaged ones by the thousand; with fixed seeds."""

from __future__ import annotations

import json
import random

N = 200_000
TEXTS = {
    "a sum": "1+" * N + "1",
    "a power": "9" + "**9" * 1000,
    "shape=(": "array(" + "[" * 9 + "1," * 9 + ", shape=(" * (N // 2),
    "dtype=": "array(1" + ", dtype=a" * N + ")",
    "deep": "[" * N,
    "deep and closed": "[" * N + "]" * N,
    "deep in numpy": "array(" + "[" * N + "1" + "]" * N + ")",
    "parentheses": "array(" + "(" * N + ")" * N + ")",
    "objects": '{"a":' * N + "1" + "}" * N,
    "digits": "[" + "9" * (50 * N) + "]",
    "digits in numpy": "array([" + "1" * (5 * N) + ".])",
    "zeros": "0." + "0" * (5 * N) + "1",
    "exponent": "[1e" + "9" * 1000 + "]",
    "commas": "," * (50 * N),
    "commas in a list": "[" + "," * N + "]",
    "blanks": "[" + " " * (20 * N) + "1",
    "blanks everywhere": ("1" + " " * 1000) * (N // 20),
    "closing": ("]" + " " * 1000) * (N // 20),
    "ragged": "[" + "[1,1,1]," * N + "[1,1]]",
    "a long row and a longer": "[[" + "1," * N + "1],[" + "1," * N + "1,1]]",
    "a wide string": '["' + "a" * N + '"' + ',"b"' * 1000 + "]",
    "strings": json.dumps(["x"] * 1000),
    "null": "[null]",
    "other digits": "[\uff11\uff12]",
    "surrogates": "[\ud800]",
    "NUL": "[1\0]",
    "underscores": "[1_0]",
    "hexadecimal": "[0x10]",
    "complex": "[1j]",
    "code": "__import__('os').system('true')",
    "attributes": "().__class__.__bases__[0]",
    "a comprehension": "[x for x in range(9**9)]",
    "set": "{1, 2}",
    "bytes": "b'1'",
    "cut": "[[1.0, 2.0",
    "no number": "[1, , 2]",
    "a comma too many": "[1, 2, ]",
    "behind the bracket": "[[1]2, [3]4]",
    "bracket in a row": "1[,]2",
    "brackets side by side": "[1],[2]",
    "no row": "[[1], 2]",
    "nothing": "",
    "ellipsis": "array([0., 0., 0., ..., 0., 0., 0.])",
    "an array in an array": "array([array([1]), 2])",
}

_SEEDS = (
    "[[1.0, 2.0], [3.5, -4e-3]]", "[[[1, 2]], [[3, 4]]]", "[1, 2, 3]", "7", "-0.5", "[true, false]", "[NaN, Infinity]",
    "array([[1., 2.],\n       [3., 4.]], dtype=float32)", "array([], shape=(0, 3), dtype=float32)", "[[], []]",
)  # fmt: skip
_PIECES = (
    "[", "]", ",", " ", "\n", "1", "-", "+", ".", "e", "e5", "0", "NaN", "true", "null", "array(", ")", ", dtype=float32",
    "shape=(2,)", '"', "{", "}", ":", "\\u0000", "\u00e9", "\U0001f600", "999999999999999999999", "Infinity", "_", "j",
)  # fmt: skip


def mutated(rng: random.Random) -> str:
    """A text that is an array, or nearly one."""
    text = rng.choice(_SEEDS)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:at] + rng.choice(_PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(1, 4) :]
        elif kind == 2:
            end = rng.randrange(at, len(text) + 1)
            text = text[:end] + text[at:end] * rng.randrange(1, 4) + text[end:]
        else:
            text = text[:at]
    return text
