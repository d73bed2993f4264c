"""What the tools that read ONNX next can take: an opset, whether sizes have to be fixed, operators to avoid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mconv.exporters.onnx.node_names import inside

_BY_THE_RUN = "sizes or turns that only the run knows"
_NO_IMPORTER = "its importer has none"
_SEQUENCES = [
    "ConcatFromSequence",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SplitToSequence",
]
_DYNAMIC = dict.fromkeys(("Compress", "If", "Loop", "NonZero", "Scan", "Unique"), _BY_THE_RUN)
# airockchip/rknn-toolkit2, doc/RKNNToolKit2_OP_Support-v2.1.0.md: those that are not "Not Supported"
_RKNN = frozenset(
    """
    Add And ArgMax ArgMin AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos
    DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements
    Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Identity If InstanceNormalization
    LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max MaxPool MaxRoiPool
    MaxUnpool MeanVarianceNormalization Min Mish Mod Mul PRelu Pad Pow QuantizeLinear ReduceMax ReduceMean ReduceMin
    ReduceSum Relu Reshape Resize ReverseSequence RoiAlign ScatterND Shape Sigmoid Sin Size Slice Softmax Softplus
    SpaceToDepth Split Sqrt Squeeze Sub Tanh Tile Transpose Unsqueeze Where
    """.split()  # noqa: SIM905
)
# hiascend.com, CANN 5.0.4.6, list of supported ONNX operators (operatorlist_0071)
_ASCEND = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift Cast Ceil Celu Clip
    Compress Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Det Div Dropout Elu Equal Erf
    Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
    Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity If InstanceNormalization LRN LSTM LeakyRelu Less
    LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization Min Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round
    Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Where Xor
    """.split()  # noqa: SIM905
)
# onnx-tensorrt, docs/operators.md: those without an importer
_NOT_OF_TENSORRT = (
    *[
        "BitShift",
        "Compress",
        "ConvInteger",
        "DFT",
        "Det",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "MaxRoiPool",
        "MaxUnpool",
        "Multinomial",
    ],
    *["QLinearConv", "QLinearMatMul", "STFT", "Unique"],
    *_SEQUENCES,
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
        listed: the operators that a list of the tool's own has; none: there is no such list.
        outputs: ONNX operator → how many of its outputs may be there.
    """

    name: str
    opset: int
    latest: int
    fixed: bool
    avoid: Mapping[str, str]
    source: str
    listed: frozenset[str] = frozenset()
    outputs: Mapping[str, int] = field(default_factory=dict)


PROFILES = {
    p.name: p
    for p in (
        Profile(
            "tensorrt",
            17,  # LayerNormalization is one operator from here on
            22,
            False,
            dict.fromkeys(_NOT_OF_TENSORRT, _NO_IMPORTER),
            "NVIDIA, ONNX Opset Guide (opset 9 to 25 in TensorRT 11, 22 in 10); onnx-tensorrt, docs/operators.md",
            outputs={"MaxPool": 1},
        ),
        Profile(
            "rknn",
            12,
            19,
            True,
            {**_DYNAMIC, **dict.fromkeys(("NonMaxSuppression", *_SEQUENCES), "RKNN-Toolkit2 has none")},
            "RKNN-Toolkit2, CHANGELOG (opset 12 to 19 since 1.6) and OP_Support 2.1.0",
            listed=_RKNN,
        ),
        Profile(
            "ascend",
            11,
            17,
            True,
            dict.fromkeys(("Loop", "Scan", "Unique", *_SEQUENCES), "ATC has none"),
            "CANN, list of ONNX operators (of ONNX 1.12, opset 17), --input_shape, case atc_case_00013 (Loop); not tried here",
            listed=_ASCEND,
        ),
        Profile("ncnn", 13, 18, True, _DYNAMIC, "pnnx 20261020 reads the file here, ncnn 1.0.20261020 runs the result"),
        Profile("mnn", 13, 22, False, {}, "MNN 3.6.1 reads the file here and runs the result"),
    )
}


def refused(profile: Profile, nodes: Iterable[Any]) -> list[dict[str, str]]:
    """The nodes that the tool cannot take, as rows of :func:`mconv.program.unsupported.refusal`."""
    rows = []
    for node in inside(nodes):
        reason = profile.avoid.get(node.op_type)
        most = profile.outputs.get(node.op_type, len(node.output))
        if reason is None and any(node.output[most:]):
            reason = f"its importer gives {most} of its outputs"
        if reason is not None:
            row = {"operator": node.op_type, "domain": "ai.onnx", "node": node.output[0]}
            rows.append({**row, "reason": f"{profile.name}: {reason}"})
    return rows


def unlisted(profile: Profile, nodes: Iterable[Any]) -> list[str]:
    """The operators of which it is not known whether the tool has them: its list has not."""
    return sorted({n.op_type for n in inside(nodes) if profile.listed and n.op_type not in profile.listed})
