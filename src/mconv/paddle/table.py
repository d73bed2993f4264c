"""PIR operations that are one ProgramDesc operator: what it and its inputs and outputs are called there.

The facts are those of Paddle's operator descriptions (``op_compat.yaml`` and ``ops.yaml``, Paddle 3.3), as observed by
letting Paddle translate every legacy operator to PIR. What needs more than other names has a function in ``ops/``.

One line is: PIR name · operator (``=``: the same) · inputs in the order of PIR's operands · outputs in PIR's order ·
attributes that are called otherwise. An input ``-`` is not passed on; ``Name=attr`` is the attribute when the value is
known at conversion time and the input when it is not, ``=attr`` has no such input. Of attributes, ``a:b`` renames,
``a:-`` drops, ``a?v`` drops where the value is ``v`` (``a?...``: any) and the target does not know it, ``a!v`` sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

# X → Out of the same type and shape, under the same name
_UNARY = """
acos acosh asin asinh atan atanh assign bernoulli ceil celu clip_by_norm conj cos cosh digamma elu erf erfinv exp
expm1 floor gelu label_smooth lgamma log log10 log1p log2 logsigmoid poisson reciprocal relu relu6 renorm
rsqrt selu sigmoid sign silu sin sinh softplus softsign sqrt square stanh swish tan tanh tanh_shrink
temporal_shift shuffle_channel cholesky matrix_power fill_diagonal identity_loss
"""

# the same shape, other names
_SAME = """
hardshrink hard_shrink X Out
hardsigmoid hard_sigmoid X Out
hardtanh brelu X Out
leaky_relu = X Out negative_slope:alpha
hardswish hard_swish X Out
gumbel_softmax = X Out
logit = X Out
flip = X Out
trunc = X Out
cumprod = X Out exclusive?False,reverse?False
mish = X Out lambda:threshold
softshrink = X Out threshold:lambda
thresholded_relu = X Out value?0.0
logcumsumexp = X Out
i0 = x out
i0e = x out
i1 = x out
i1e = x out
polygamma = x out
fill fill_any X,=value Out
fill_diagonal_tensor = X,Y Out
increment = X Out value:step
scatter = X,Ids,Updates Out
scatter_nd_add = X,Index,Updates Out
index_add = X,Index,AddValue Out
batch_fc = Input,W,Bias Out
affine_channel = X,Scale,Bias Out
add_position_encoding = X Out
instance_norm = X,Scale,Bias Y,SavedMean,SavedVariance
group_norm = X,Scale,Bias Y,Mean,Variance data_format:data_layout
lrn = X Out,MidOut
norm = X Out,Norm
spectral_norm = Weight,U,V Out
row_conv = X,Filter Out
shard_index = X Out
box_clip = Input,ImInfo Output
isfinite isfinite_v2 X Out
isinf isinf_v2 X Out
isnan isnan_v2 X Out
bitwise_not = X Out
hinge_loss = Logits,Labels Loss
log_loss = Predicted,Labels Loss
bce_loss = X,Label Out
sigmoid_cross_entropy_with_logits = X,Label,pos_weight Out
huber_loss = X,Y Out,Residual
dequantize_abs_max = X,Scale Out
dequantize_log = X,Dict Out
quantize_linear = X,Scale,ZeroPoint,InAccum,InState Y,OutState,OutAccum,OutScale only_observer?...
dequantize_linear = X,Scale,ZeroPoint,InAccum,InState Y,OutState,OutAccum,OutScale only_observer?...
fake_quantize_abs_max = X Out,OutScale
fake_quantize_dequantize_abs_max = X Out,OutScale
fake_channel_wise_quantize_abs_max = X Out,OutScale
fake_channel_wise_quantize_dequantize_abs_max = X Out,OutScale
fake_dequantize_max_abs = X,Scale Out
fake_channel_wise_dequantize_max_abs = X,Scales Out
fake_quantize_range_abs_max = X,InScale,Iter Out,OutScale,OutScales
fake_quantize_moving_average_abs_max = X,InScale,InAccum,InState Out,OutScale,OutState,OutAccum
fake_quantize_dequantize_moving_average_abs_max = X,InScale,InAccum,InState Out,OutScale,OutState,OutAccum
moving_average_abs_max_scale = X,InAccum,InState Out,OutScale,OutState,OutAccum
uniform_inplace uniform_random_inplace X Out
"""

_ROWS = """
affine_grid = Theta,OutputShape=output_shape Output use_cudnn!False
angle = X Out
as_complex = X Out
as_real = X Out
atan2 = X1,X2 Out
bincount = X,Weights,=minlength Out
bipartite_match = DistMat ColToRowMatchIndices,ColToRowMatchDist
box_coder = PriorBox,PriorBoxVar,TargetBox OutputBox
cholesky_solve = X,Y Out
channel_shuffle = X Out
collect_fpn_proposals = MultiLevelRois,MultiLevelScores,MultiLevelRoIsNum FpnRois,RoisNum post_nms_topn:post_nms_topN
complex = X,Y Out
conv2d = Input,Filter Output
conv3d = Input,Filter Output
depthwise_conv2d = Input,Filter Output
correlation = Input1,Input2 Output
crf_decoding = Emission,Transition,Label,Length ViterbiPath
ctc_align = Input,InputLength Output,OutputLength
cummax = x out,indices
cummin = x out,indices
det determinant Input Out
diag diag_v2 X Out
diagonal = Input Out
dirichlet = Alpha Out
distribute_fpn_proposals = FpnRois,RoisNum MultiFpnRois,MultiLevelRoIsNum,RestoreIndex
edit_distance = Hyps,Refs,HypsLength,RefsLength SequenceNum,Out
eig = X Eigenvalues,Eigenvectors
eigh = X Eigenvalues,Eigenvectors
eigvals = X Out
eigvalsh = X Eigenvalues,Eigenvectors uplo:UPLO
fft_c2c = X Out
fft_c2r = X Out
fft_r2c = X Out
fold = X Y
fractional_max_pool2d = x out,mask
fractional_max_pool3d = x out,mask
frame = X Out
gammaincc = x,y out
gather_nd = X,Index Out
gather_tree = Ids,Parents Out
gaussian gaussian_random ShapeTensorList=shape Out
generate_proposals generate_proposals_v2 Scores,BboxDeltas,ImShape,Anchors,Variances RpnRois,RpnRoiProbs,RpnRoisNum pre_nms_top_n:pre_nms_topN,post_nms_top_n:post_nms_topN
grid_sample grid_sampler X,Grid Output use_cudnn!False
histogram = X,Weight Out density?False
hsigmoid_loss hierarchical_sigmoid X,Label,W,Bias,PathTable,PathCode Out,PreOut,W_Out
imag = X Out
im2sequence = X,Y Out
index_sample = X,Index Out
index_put = x,indices,value out
copysign = x,y out
heaviside elementwise_heaviside X,Y Out
inverse = Input Output
is_empty = X Out
kldiv_loss = X,Target Loss log_target?False
kron = X,Y Out
kthvalue = X Out,Indices
l1_norm = X Out
lookup_table_dequant = W,Ids Out
lu = X Out,Pivots,Infos pivot:pivots
lu_unpack = X,Pivots Pmat,L,U
margin_cross_entropy = Logits,Label Softmax,Loss
matrix_nms = BBoxes,Scores Out,Index,RoisNum
max_pool2d_with_index = X Out,Mask kernel_size:ksize,ceil_mode?False,dilations?...
max_pool3d_with_index = X Out,Mask kernel_size:ksize,ceil_mode?False,dilations?...
maxout = X Out
mean_all mean X Out
meshgrid = X Out
mode = X Out,Indices
multiclass_nms3 = BBoxes,Scores,RoisNum Out,Index,NmsRoisNum
multinomial = X,=num_samples Out
multiplex = X,Ids Out
nextafter = x,y out
nms = Boxes KeepBoxesIdxs threshold:iou_threshold
overlap_add = X Out
pixel_shuffle = X Out
pixel_unshuffle = X Out
prior_box = Input,Image Boxes,Variances
psroi_pool = X,ROIs,RoisNum Out
qr = X Q,R
randint = ShapeTensorList=shape Out
randperm = - Out
real = X Out
reverse = X,=axis Out
roi_align = X,ROIs,RoisNum Out
roi_pool = X,ROIs,RoisNum Out,Argmax
searchsorted = SortedSequence,Values Out
segment_pool = X,SegmentIds Out,SummedIds
send_u_recv graph_send_recv X,Src_index,Dst_index,Out_size=out_size Out,Dst_count reduce_op:reduce_op
sequence_mask = X,MaxLenTensor=maxlen Y
solve = X,Y Out
stft = X,Window Out
svd = X U,S,VH
top_p_sampling = x,ps,threshold,topp_seed out,ids,topk_scores,topk_ids
trace = Input Out
triangular_solve = X,Y Out
truncated_gaussian_random = - Out
unfold = X Y
unique_consecutive = X Out,Index,Counts
unpool = X,Indices,=output_size Out padding:paddings,unpooling_type!max
unpool3d = X,Indices Out padding:paddings,unpooling_type!max
viterbi_decode = Input,Transition,Length Scores,Path
warpctc = Logits,Label,LogitsLength,LabelLength Loss,WarpCTCGrad
warprnnt = input,label,input_lengths,label_lengths loss,warprnntgrad
yolo_box = X,ImgSize Boxes,Scores
yolo_loss yolov3_loss X,GTBox,GTLabel,GTScore Loss,ObjectnessMask,GTMatchMask
yolo_box_head = X Out
yolo_box_post = Boxes0,Boxes1,Boxes2,ImageShape,ImageScale Out,NmsRoisNum
lu_solve = b,lu,pivots out
binomial = count,prob out
"""


@dataclass(frozen=True)
class Slot:
    """Where an operand goes: an input, an attribute, or whichever fits."""

    input: str
    attr: Optional[str] = None


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        op: the ProgramDesc operator.
        inputs: where each operand goes; None = nowhere.
        outputs: what each result is called; None = not wanted.
        attrs: PIR's name of an attribute → the operator's; None = drop.
        defaults: attributes that a target may lack as long as they have this value (``...``: any).
        fixed: attributes that PIR does not have.
        same: whether the first output has the first input's shape.
    """

    op: str
    inputs: tuple[Optional[Slot], ...]
    outputs: tuple[Optional[str], ...]
    attrs: Mapping[str, Optional[str]]
    defaults: Mapping[str, Any]
    fixed: Mapping[str, Any]
    same: bool


def _slot(token: str) -> Optional[Slot]:
    if token == "-":
        return None
    name, _, attr = token.partition("=")
    return Slot(name, attr or None)


def _value(text: str) -> Any:
    words = {"False": False, "True": True, "...": ...}
    return words[text] if text in words else float(text) if text[0].isdigit() else text


def _parse(line: str, same: bool) -> tuple[str, Row]:
    name, op, inputs, outputs, *rest = line.split()
    attrs: dict[str, Optional[str]] = {}
    defaults: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for item in rest[0].split(",") if rest else ():
        for sign, into in ((":", attrs), ("?", defaults), ("!", fixed)):
            key, found, value = item.partition(sign)
            if found:
                into[key] = (None if value == "-" else value) if sign == ":" else _value(value)
                break
    return name, Row(
        name if op == "=" else op,
        tuple(_slot(t) for t in inputs.split(",")) if inputs != "-" else (),
        tuple(None if t == "-" else t for t in outputs.split(",")),
        attrs,
        defaults,
        fixed,
        same,
    )


def _rows() -> Iterator[tuple[str, Row]]:
    for name in _UNARY.split():
        yield _parse(f"{name} = X Out", True)
    for text, same in ((_SAME, True), (_ROWS, False)):
        for line in text.strip().splitlines():
            yield _parse(line, same)


ROWS: Mapping[str, Row] = dict(_rows())
