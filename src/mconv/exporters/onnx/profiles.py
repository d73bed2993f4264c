"""What the tools that read ONNX next can take: an opset, whether sizes have to be fixed, operators to avoid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_BY_THE_RUN = "sizes or turns that only the run knows"
_DYNAMIC = dict.fromkeys(("Compress", "If", "Loop", "NonZero", "Scan", "Unique"), _BY_THE_RUN)
_NO_IMPORTER = "its importer has none"
_SEQUENCES = (
    "ConcatFromSequence",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceInsert",
    "SplitToSequence",
)


@dataclass(frozen=True)
class Profile:
    """A tool that reads ONNX.

    Attributes:
        name: what ``--for`` takes.
        opset: the version of ONNX's operators to write where the user names none.
        latest: the newest that it reads.
        fixed: whether every size of the inputs has to be fixed.
        avoid: ONNX operator → why it cannot be there.
        source: where the limits are said or how they were found.
    """

    name: str
    opset: int
    latest: int
    fixed: bool
    avoid: Mapping[str, str]
    source: str


PROFILES = {
    p.name: p
    for p in (
        Profile(
            "tensorrt",
            17,  # LayerNormalization is one operator from here on
            22,
            False,
            dict.fromkeys(("BitShift", "Compress", "Det", "DFT", "MaxRoiPool", "Unique", *_SEQUENCES), _NO_IMPORTER),
            "NVIDIA, ONNX Opset Guide (opset 9 to 25 in TensorRT 11, 22 in 10); onnx-tensorrt, docs/operators.md",
        ),
        Profile(
            "rknn", 12, 19, True, _DYNAMIC, "RKNN-Toolkit2: shapes are fixed, or a list of fixed ones (dynamic_input)"
        ),
        Profile("ascend", 11, 15, True, _DYNAMIC, "ATC: --input_shape fixes sizes; not tried here"),
        Profile("ncnn", 13, 18, True, _DYNAMIC, "pnnx 20261020 reads the file here, ncnn 1.0.20261020 runs the result"),
        Profile("mnn", 13, 22, False, {}, "MNN 3.6.1 reads the file here and runs the result"),
    )
}


def refused(profile: Profile, nodes: Iterable[Any]) -> list[dict[str, str]]:
    """The nodes that the tool cannot take, as rows of :func:`mconv.program.unsupported.refusal`."""
    return [
        {
            "operator": n.op_type,
            "domain": "ai.onnx",
            "node": n.output[0],
            "reason": f"{profile.name}: {profile.avoid[n.op_type]}",
        }
        for n in nodes
        if n.op_type in profile.avoid
    ]
