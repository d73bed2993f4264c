"""Einstein sums, as transposes, reshapes and matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.emit.elementwise import arithmetic, number, where
from mconv.emit.generate import eye
from mconv.emit.known import need_rank
from mconv.emit.linear import matmul
from mconv.emit.reduction import reduce
from mconv.emit.shape import reshape, transpose, unsqueeze
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_ELLIPSIS = "."  # its dimensions are labelled .0, .1, … from the last one on


def einsum(b: Builder, equation: str, operands: Sequence[Value]) -> Value:
    """The sum that *equation* says (numpy's notation), over any number of operands."""
    terms, output = _parsed(equation, [len(need_rank(x, "Einsum")) for x in operands])
    parts = [_diagonal(b, x, labels) for x, labels in zip(operands, terms)]
    x, labels = parts[0]
    for i, (y, others) in enumerate(parts[1:], 1):
        needed = set(output).union(*(later for _, later in parts[i + 1 :]))
        x, labels = _pair(
            b, *_summed(b, x, labels, needed | set(others)), *_summed(b, y, others, needed | set(labels)), needed
        )
    x, labels = _summed(b, x, labels, set(output))
    return transpose(b, x, [labels.index(o) for o in output])


def _parsed(equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The labels of every operand and of the output."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise UnsupportedError(f"Einsum: {equation!r} is about {len(terms)} operands, not {len(ranks)}")
    found = [_labels(term, rank, equation) for term, rank in zip(terms, ranks)]
    dots = max(([label for label in f if label[0] == _ELLIPSIS] for f in found), key=len)
    if arrow:
        before, ellipsis, after = right.partition("...")
        output = [*before, *(dots if ellipsis else []), *after]
    else:
        every = [label for f in found for label in f if label[0] != _ELLIPSIS]
        output = [*dots, *sorted(label for label in set(every) if every.count(label) == 1)]
    unknown = set(output) - {label for f in found for label in f}
    if unknown or len(set(output)) != len(output):
        raise UnsupportedError(f"Einsum: the output of {equation!r} is not made of its operands")
    return found, output


def _labels(term: str, rank: int, equation: str) -> list[str]:
    before, ellipsis, after = term.partition("...")
    if not all(c.isalpha() for c in before + after):
        raise UnsupportedError(f"Einsum: {equation!r} is no equation")
    count = rank - len(before) - len(after)
    if count < 0 or (count and not ellipsis):
        raise UnsupportedError(f"Einsum: {term!r} of {equation!r} does not fit {rank} dimensions")
    return [*before, *(f"{_ELLIPSIS}{i}" for i in reversed(range(count))), *after]


def _diagonal(b: Builder, x: Value, labels: list[str]) -> tuple[Value, list[str]]:
    """Each label once: what lies off the diagonal of dimensions with one label is dropped."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            shape = need_rank(x, "Einsum")
            first = labels.index(label)
            second = labels.index(label, first + 1)
            mask = eye(b, shape[first], shape[second], 0, x.dtype)
            sizes = [d if i in (first, second) else 1 for i, d in enumerate(shape)]
            on = reshape(b, b.cast(mask, DType.BOOL), sizes)
            x = reduce(b, "sum", where(b, on, x, number(b, 0, x.dtype)), [second])
            del labels[second]
    return x, labels


def _summed(b: Builder, x: Value, labels: list[str], needed: set[str]) -> tuple[Value, list[str]]:
    """Without the dimensions that nothing needs any more."""
    drop = [i for i, label in enumerate(labels) if label not in needed]
    if not drop:
        return x, labels
    return reduce(b, "sum", x, drop), [label for label in labels if label in needed]


def _pair(b: Builder, x: Value, xs: list[str], y: Value, ys: list[str], needed: set[str]) -> tuple[Value, list[str]]:
    """The product of two operands, summed over the labels that both have and nothing needs."""
    both = [label for label in xs if label in ys]
    batch = [label for label in both if label in needed]
    inner = [label for label in both if label not in needed]
    rows = [label for label in xs if label not in ys]
    columns = [label for label in ys if label not in xs]
    x = transpose(b, x, [xs.index(label) for label in (*batch, *rows, *inner)])
    y = transpose(b, y, [ys.index(label) for label in (*batch, *inner, *columns)])
    n, r, c = len(batch), len(rows), len(columns)
    out = [*batch, *rows, *columns]
    if not inner:
        x = unsqueeze(b, x, range(n + r, n + r + c)) if c else x
        y = unsqueeze(b, y, range(n, n + r)) if r else y
        return arithmetic(b, "mul", x, y), out
    xd, yd = need_rank(x, "Einsum"), need_rank(y, "Einsum")
    k = D.product(xd[n + r :])
    x = reshape(b, x, (*xd[:n], D.product(xd[n : n + r]), k))
    y = reshape(b, y, (*yd[:n], D.product(yd[n : n + len(inner)]), D.product(yd[n + len(inner) :])))
    made = matmul(b, x, y)
    return reshape(b, made, (*need_rank(made, "Einsum")[:n], *xd[n : n + r], *yd[n + len(inner) :])), out
