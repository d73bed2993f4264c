"""Layer normalisation and attention scaling, as exporters decompose them."""

from __future__ import annotations

from typing import Optional

from mconv.passes.graph import Found, Graph, first, out
from mconv.passes.rewrite import scale
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op, Var


def layer_norm(g: Graph, op: Op) -> Found:
    """``(x - mean) / sqrt(var + eps)`` over trailing axes, with the scale and bias that follow."""
    x, y = first(op, "X"), first(op, "Y")
    root: Optional[Op]
    if op.type == "elementwise_div":
        centred, root, inverse = x, g.by(y, "sqrt"), None
    else:
        centred, (root, inverse) = x, _inverse_root(g, y)
        if root is None:
            centred, (root, inverse) = y, _inverse_root(g, x)
    if root is None:
        return None
    shifted = g.by(first(root, "X"), "scale", "elementwise_add")
    if shifted is None:
        return None
    epsilon, variance = g.plus(shifted)
    if epsilon is None or not 0 < epsilon <= 0.001:  # the operator's own limit
        return None
    mean2 = g.by(variance, "reduce_mean")
    square = g.by(first(mean2, "X"), "square", "pow", "elementwise_pow", "elementwise_mul") if mean2 else None
    if mean2 is None or square is None or not _is_square(g, square, centred):
        return None
    sub = g.by(centred, "elementwise_sub")
    if sub is None:
        return None
    source = first(sub, "X")
    mean = g.by(first(sub, "Y"), "reduce_mean")
    if mean is None or first(mean, "X") != source:
        return None
    axis = _trailing(g, mean, source)
    if axis is None or _trailing(g, mean2, source) != axis or g.dtype(source) is not DType.FP32:
        return None
    ops = [mean, sub, square, mean2, shifted, root, *([inverse] if inverse is not None else []), op]
    if not g.inside([out(o) for o in ops[:-1]], ops):
        return None
    result = out(op)
    inputs = {"X": [source]}
    scaled = g.only_reader(result, "elementwise_mul")
    weight = g.other(scaled, result) if scaled is not None else None
    if scaled is not None and weight is not None and _is_affine(g, weight, source, axis):
        ops.append(scaled)
        inputs["Scale"] = [weight]
        result = out(scaled)
        added = g.only_reader(result, "elementwise_add")
        bias = g.other(added, result) if added is not None else None
        if added is not None and bias is not None and _is_affine(g, bias, source, axis):
            ops.append(added)
            inputs["Bias"] = [bias]
            result = out(added)
    outputs = {"Y": [result], "Mean": [_beside(g, result, "mean")], "Variance": [_beside(g, result, "variance")]}
    attrs: list[tuple[str, AttrType, float]] = [
        ("epsilon", AttrType.FLOAT, epsilon),
        ("begin_norm_axis", AttrType.INT, axis),
    ]
    return ops, Op.make("layer_norm", inputs, outputs, attrs)


def _inverse_root(g: Graph, name: str) -> tuple[Optional[Op], Optional[Op]]:
    """The rsqrt that computes *name*; or the sqrt, and the reciprocal behind it."""
    inverse = g.by(name, "reciprocal")
    return (g.by(first(inverse, "X"), "sqrt"), inverse) if inverse is not None else (g.by(name, "rsqrt"), None)


def _is_square(g: Graph, op: Op, name: str) -> bool:
    squared = first(op, "Y") == name if op.type == "elementwise_mul" else g.exponent(op) == 2.0
    return squared and first(op, "X") == name


def _trailing(g: Graph, mean: Op, source: str) -> Optional[int]:
    """The first axis of a mean over trailing axes that keeps them, else None."""
    rank = g.rank(source)
    if rank is None or not mean.attr("keep_dim", False) or mean.attr("reduce_all", False):
        return None
    axes = sorted(a % rank for a in mean.attr("dim", []))
    return axes[0] if axes and axes == list(range(axes[0], rank)) and axes[0] > 0 else None


def _is_affine(g: Graph, name: str, source: str, axis: int) -> bool:
    """Whether *name* is a parameter with one value per normalised element.

    The operator wants it flat, so more than one normalised axis is left alone.
    """
    shape = g.shape(source)[axis:]
    return name in g.params and len(shape) == 1 and g.shape(name) == shape and -1 not in shape


def _beside(g: Graph, name: str, what: str) -> str:
    """A new variable for an output that nothing reads."""
    return g.block.add_var(Var.tensor(f"{name}.{what}", DType.FP32, ())).name


def attention_scale(g: Graph, op: Op) -> Found:
    """``(q·a) (k·a)ᵀ`` with both operands scaled by number: one scale, of the query, does."""
    left, right = g.by(first(op, "X"), "scale"), _scale_behind(g, first(op, "Y"))
    if left is None or right is None:
        return None
    key, steps = right
    if left.attr("bias", 0.0) != 0.0 or key.attr("bias", 0.0) != 0.0:
        return None
    if not g.inside([out(each) for each in (left, key, *steps)], [op, *steps]):
        return None
    factor = left.attr("scale", 1.0) * key.attr("scale", 1.0)
    source, reader = first(key, "X"), steps[-1] if steps else op
    reader.set_input("X" if steps else "Y", [source])
    g.consumers[source] = [*(c for c in g.consumers[source] if c is not key), reader]
    g.consumers[out(key)] = []
    return [left], scale(first(left, "X"), out(left), factor)


def _scale_behind(g: Graph, name: str) -> Optional[tuple[Op, list[Op]]]:
    """The scale that computes *name*, through transposes; with the transposes, the nearest first."""
    steps: list[Op] = []
    while True:
        op = g.by(name, "scale", "transpose2")
        if op is None:
            return None
        if op.type == "scale":
            return op, steps
        steps.append(op)
        name = first(op, "X")
