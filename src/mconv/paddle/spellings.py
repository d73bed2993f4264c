"""What PIR's operations, their operands and attributes are called in ProgramDesc, as text; :mod:`.table` reads it.

The facts are those of Paddle's operator descriptions (``op_compat.yaml`` and ``ops.yaml``, Paddle 3.3), as observed by
letting Paddle translate every legacy operator to PIR.

One line is: PIR name · operator (``=``: the same) · inputs in the order of PIR's operands · outputs in PIR's order ·
attributes that are called otherwise. An input ``-`` is not passed on; ``Name=attr`` is the attribute when the value is
known at conversion time and the input when it is not, ``=attr`` has no such input; ``One|Other`` are two inputs for
the same, of which the operator has one. Of attributes, ``a:b`` renames,
``a:-`` drops, ``a?v`` drops where the value is ``v`` (``a?...``: any) and the target does not know it, ``a!v`` sets.
"""

# X → Out of the same type and shape, under the same name
UNARY = """
acos acosh asin asinh atan atanh assign bernoulli ceil celu clip_by_norm conj cos cosh digamma elu erf erfinv exp
expm1 floor gelu label_smooth lgamma log log10 log1p log2 logsigmoid poisson reciprocal relu relu6 renorm
rsqrt selu sigmoid sign silu sin sinh softplus softsign sqrt square stanh swish tan tanh tanh_shrink
temporal_shift shuffle_channel cholesky matrix_power fill_diagonal identity_loss
"""


# the same shape, other names
SAME = """
hardshrink hard_shrink X Out
hardsigmoid hard_sigmoid X Out
hardtanh brelu X Out
leaky_relu = X Out negative_slope:alpha
hardswish hard_swish X Out
gumbel_softmax = X Out
logit = X Out
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
softmax = X Out
log_softmax = X Out
"""


# what needs nothing but other names
OTHERS = """
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
matrix_rank = X Out
matrix_rank_tol matrix_rank X,TolTensor Out
diag_embed = Input Out
"""


# what has a converter in ops/, for reading it off a ProgramDesc
SPELLED_LINES = """
abs = X Out
add elementwise_add X,Y Out
subtract elementwise_sub X,Y Out
multiply elementwise_mul X,Y Out
divide elementwise_div X,Y Out
remainder elementwise_mod X,Y Out
floor_divide elementwise_floordiv X,Y Out
maximum elementwise_max X,Y Out
minimum elementwise_min X,Y Out
fmax elementwise_fmax X,Y Out
fmin elementwise_fmin X,Y Out
elementwise_pow = X,Y Out
bitwise_and = X,Y Out
bitwise_or = X,Y Out
bitwise_xor = X,Y Out
bitwise_left_shift = x,y out
bitwise_right_shift = x,y out
equal = X,Y Out
not_equal = X,Y Out
less_than = X,Y Out
less_equal = X,Y Out
greater_than = X,Y Out
greater_equal = X,Y Out
logical_and = X,Y Out
logical_or = X,Y Out
logical_xor = X,Y Out
logical_not = X Out
equal_all = X,Y Out
isclose = Input,Other,Rtol=rtol,Atol=atol Out
allclose = Input,Other,Rtol=rtol,Atol=atol Out
add_n sum X Out
all reduce_all X Out axis:dim,keepdim:keep_dim
any reduce_any X Out axis:dim,keepdim:keep_dim
amax reduce_amax X Out axis:dim,keepdim:keep_dim
amin reduce_amin X Out axis:dim,keepdim:keep_dim
max reduce_max X,=dim Out keepdim:keep_dim
min reduce_min X,=dim Out keepdim:keep_dim
mean reduce_mean X,=dim Out keepdim:keep_dim
prod reduce_prod X,=dim Out keepdim:keep_dim
sum reduce_sum X,=dim Out keepdim:keep_dim,dtype:out_dtype
frobenius_norm = X,=dim Out
logsumexp = X Out
nansum = x out
p_norm = X Out
squared_l2_norm = X Out
dist = X,Y Out
var = x out
std = x out
variance = x out
median = x out,medians
nanmedian = X Out,MedianIndex
max_with_index = x values,indices
min_with_index = x values,indices
reduce_as = x,target out
argmax arg_max X,=axis Out
argmin arg_min X,=axis Out
argsort = X Out,Indices
topk top_k_v2 X,K=k Out,Indices
cumsum = X,=axis Out
addmm = Input,X,Y Out alpha:Alpha,beta:Beta
baddbmm = Input,X,Y Out alpha:Alpha,beta:Beta
bmm = X,Y Out
dot = X,Y Out
mv = X,Vec Out
cross = X,Y Out axis:dim
matmul matmul_v2 X,Y Out transpose_x:trans_x,transpose_y:trans_y
legacy_matmul matmul X,Y Out transpose_x:transpose_X,transpose_y:transpose_Y
matmul_with_flatten mul X,Y Out
linear_v2 = input,weight,bias out
fc = Input,W,Bias Out
multi_dot = X Out
einsum = Operands Out,InnerCache,XShape
bilinear bilinear_tensor_product X,Y,Weight,Bias Out
slogdet slogdeterminant Input Out
slogdet_v2 = x sign,logdet
lstsq = X,Y,=rcond Solution,Residuals,Rank,SingularValues
svdvals = x s
cast = X Out dtype:out_dtype
clip = X,Min=min,Max=max Out
gammaln = x out
lerp = X,Y,Weight Out
masked_fill = x,mask,value out
pow = X Out y:factor
round = X Out
scale = X,ScaleTensor=scale Out
trunc_divide = x,y out
where = Condition,X,Y Out
arange range Start,End,Step Out
empty = ShapeTensor|ShapeTensorList=shape Out
eye = =num_rows,=num_columns Out
full_batch_size_like fill_constant_batch_size_like Input Out
full_int_array = - out
full_like fill_any_like X,=value Out
logspace = Start,Stop,Num,Base Out
tril_indices = - out
triu_indices = - out
uniform uniform_random ShapeTensor|ShapeTensorList=shape,=min,=max Out
as_strided = input out
broadcast_tensors = X Out
concat = X,AxisTensor=axis Out
expand expand_v2 X,Shape|expand_shapes_tensor=shape Out
expand_as expand_as_v2 X,Y Out
flatten flatten_contiguous_range X Out,XShape
flip = X Out
numel size Input Out
reshape reshape2 X,Shape|ShapeTensor=shape Out,XShape
roll = X,ShiftsTensor=shifts Out
shape = Input Out
shape64 = input out
split = X,SectionsTensorList=sections,AxisTensor=axis Out
split_with_num split X,AxisTensor=axis Out
squeeze squeeze2 X,=axes Out,XShape
stack = X Y
tensor_unfold = input out
tile = X,RepeatTimes|repeat_times_tensor=repeat_times Out
transpose transpose2 X Out,XShape perm:axis
tril tril_triu X Out
triu tril_triu X Out
unbind = X Out
unstack = X Y
unsqueeze unsqueeze2 X,AxesTensor|AxesTensorList=axes Out,XShape
view_dtype = input out
view_shape = input out
view_slice = input out
gather = X,Index,Axis=axis Out
index_select = X,Index Out axis:dim
index_select_strided = x out
masked_select = X,Mask Y
nonzero where_index Condition Out
one_hot one_hot_v2 X,depth_tensor=depth Out
put_along_axis = Input,Index,Value Result axis:Axis,reduce:Reduce,include_self:Include_self
repeat_interleave = X Out repeats:Repeats,axis:dim
repeat_interleave_with_tensor_index repeat_interleave X,RepeatsTensor Out axis:dim
set_value = Input,StartsTensorList=starts,EndsTensorList=ends,StepsTensorList=steps Out
set_value_with_tensor set_value Input,ValueTensor,StartsTensorList=starts,EndsTensorList=ends,StepsTensorList=steps Out
slice = Input,StartsTensor|StartsTensorList=starts,EndsTensor|EndsTensorList=ends Out
strided_slice = Input,StartsTensor|StartsTensorList=starts,EndsTensor|EndsTensorList=ends,StridesTensor|StridesTensorList=strides Out
take_along_axis = Input,Index Result axis:Axis
unique = X Out,Indices,Index,Counts
dropout = X,Seed,=dropout_prob Out,Mask mode:dropout_implementation
embedding lookup_table_v2 Ids,W Out
rnn = Input,PreState,WeightList,SequenceLength Out,DropoutState,State,Reserve
prelu = X,Alpha Out
rrelu = X Out,Noise
swiglu = x,y out
cross_entropy_with_softmax softmax_with_cross_entropy Logits,Label Softmax,Loss
nll_loss = X,Label,Weight Out,Total_weight
batch_norm = X,Mean,Variance,Scale,Bias Y,MeanOut,VarianceOut,SavedMean,SavedVariance,ReserveSpace data_format:data_layout
layer_norm = X,Scale,Bias Y,Mean,Variance
rms_norm = x,scale y,invvar
flash_attn = q,k,v,fixed_seed_offset,attn_mask out,softmax,softmax_lse,seed_offset
memory_efficient_attention = query,key,value,bias,cu_seqlens_q,cu_seqlens_k,causal_diagonal,seqlen_k,=max_seqlen_q,=max_seqlen_k output,logsumexp,seed_and_offset
fused_softmax_mask = X,Mask Out
fused_softmax_mask_upper_triangle = X Out
fused_rotary_position_embedding = q,k,v,sin,cos,position_ids out_q,out_k,out_v
conv2d_transpose = Input,Filter,=output_size Output
conv2d_transpose_bias = Input,Filter,Bias,=output_size Output
depthwise_conv2d_transpose = Input,Filter,=output_size Output
conv3d_transpose = Input,Filter Output
deformable_conv = Input,Offset,Filter,Mask Output
deformable_conv deformable_conv_v1 Input,Offset,Filter Output
pool2d = X Out kernel_size:ksize
pool3d = X Out kernel_size:ksize
lp_pool2d = x,KernelSizeTensor|KernelSizeTensorList=kernel_size out
bilinear_interp bilinear_interp_v2 X,OutSize,SizeTensor,Scale Out data_format:data_layout
nearest_interp nearest_interp_v2 X,OutSize,SizeTensor,Scale Out data_format:data_layout
bicubic_interp bicubic_interp_v2 X,OutSize,SizeTensor,Scale Out data_format:data_layout
linear_interp linear_interp_v2 X,OutSize,SizeTensor,Scale Out data_format:data_layout
trilinear_interp trilinear_interp_v2 X,OutSize,SizeTensor,Scale Out data_format:data_layout
pad = X,=pad_value Out
pad3d = X,Paddings=paddings Out pad_value:value
npu_identity = x out
share_data = X Out
memcpy = X Out
memcpy_h2d = X Out
memcpy_d2h = X Out
"""
