"""Why torch could not trace or export a module, in words that say what to do; torch's own are for its developers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST = 160
_TAIL = r"\s*(?:See the stack trace|Please (?:feel free|report|open)|Next steps:|For more information).*"

# what torch says → what is wrong, and what to do about it
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"Could not (?:extract specialized integer from|guard on) data-dependent expression",
        "a size or a decision depends on computed values (torch._check in forward can say what holds of them)",
    ),
    (r"(?:Dynamic|Static|EncoderDecoder|Hybrid)Cache", "a cache goes in or out (use_cache=False leaves it away)"),
    (
        r"supported as JIT inputs/outputs.*unsupported type: (\S+)",
        r"forward takes or returns a \1, which is no tensor",
    ),
    (r"Unsupported input type <class '([^']+)'>", r"it is given a \1, which is no tensor (--input names tensors)"),
    (r"Exporting the operator '?(aten::\w+)'? to ONNX opset version \d+ is not supported", r"ONNX has no \1"),
    (r"Error when translating node .*target=torch\.ops\.([\w.]+)\]", r"ONNX has no \1"),
    (r"No ONNX function found for <OpOverload\(op='([\w.]+)'", r"ONNX has no \1"),
    (r"Attempted to call function marked as skipped", "it calls a function that torch does not look into"),
    (r"missing \d+ required positional arguments?: (.*)$", r"forward needs \1 too (say it with --input)"),
    (r"got an unexpected keyword argument '?(\w+)'?", r"forward has no input \1 (--input says which there are)"),
)


def reason(text: str) -> str:
    """One short line of what torch says.

    >>> reason("Exporting the operator 'aten::linalg_svd' to ONNX opset version 17 is not supported. Please …")
    'ONNX has no aten::linalg_svd'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for pattern, words in _KNOWN:
        found = re.search(pattern, plain)
        if found:
            return found.expand(words)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    line = re.sub(_TAIL, "", lines[0]) if lines else ""
    return line if len(line) <= _MOST else line[: _MOST - 1].rstrip() + "…"


def known(text: str) -> bool:
    """Whether :func:`reason` has words of its own for it."""
    return any(re.search(pattern, text) for pattern, _ in _KNOWN)


def joined(told: Sequence[str]) -> str:
    """``WHO: WHY`` of several in one sentence, those together that say the same.

    >>> joined(["torch.export: a set is none", "strict: a set is none", "script: no"])
    'torch.export and strict: a set is none; script: no'
    """
    grouped: dict[str, list[str]] = {}
    for one in told:
        who, _, why = one.partition(": ")
        grouped.setdefault(why, []).append(who)
    return "; ".join(f"{' and '.join(who)}: {why}" if why else " and ".join(who) for why, who in grouped.items())
