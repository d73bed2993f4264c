"""The ONNX operators that X2Paddle 1.6.0 converts, as far as having a mapper for them says.

Read off its mapper classes (opset 7 to 15). Left out are those whose mapper fails on every case of ONNX's own tests:
ConstantOfShape, LSTM, NonMaxSuppression, Not, PRelu, TopK. See ``docs/benchmarks.md``.
"""

from __future__ import annotations

X2PADDLE_OPERATORS = frozenset(
    """
    Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv ConvTranspose Cos CumSum
    DepthToSpace Div Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool
    GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity InstanceNormalization IsInf IsNaN LRN LeakyRelu Less
    LessOrEqual Log LogSoftmax MatMul Max MaxPool MaxRoiPool Min Mod Mul Neg NonZero OneHot Or Pad Pow Range
    Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize RoiAlign
    ScatterND Shape Shrink Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
    Sum Tanh ThresholdedRelu Tile Transpose Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905
)
