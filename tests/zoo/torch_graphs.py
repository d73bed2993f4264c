"""Graphs, point clouds, recommenders, time series, state spaces: models whose inputs are no images and no texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import Sample, _rng, register

GRAPHS: dict[str, Any] = {}
entry = register(GRAPHS)


def _floats(*shape: int) -> np.ndarray:
    return _rng().standard_normal(shape).astype(np.float32)


def _graph(n: int, size: int) -> dict[str, np.ndarray]:
    return {"x": _floats(size, 6), "edges": _rng().integers(0, size, (2, 3 * size))}


GRAPH = {"x": ("nodes", None), "edges": (None, "edges")}


def _series(width: int) -> Any:
    return lambda n, size: {"x": _floats(n, size, width)}


SERIES = {"x": ("batch", "length", None)}


@entry
def gcn() -> Sample:
    import torch
    from torch import nn

    class Gcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 4)

        def spread(self, x: Any, edges: Any) -> Any:
            source, target = edges
            degree = torch.zeros(x.shape[0]).scatter_add(0, target, torch.ones(target.shape[0])) + 1
            share = degree.rsqrt()
            messages = x[source] * (share[source] * share[target]).unsqueeze(1)
            return torch.zeros_like(x).index_add(0, target, messages) + x / degree.unsqueeze(1)

        def forward(self, x: Any, edges: Any) -> Any:
            x = torch.relu(self.spread(self.first(x), edges))
            return torch.log_softmax(self.spread(self.second(x), edges), -1)

    return Sample(Gcn(), _graph, GRAPH)


@entry
def gat() -> Sample:
    """Attention over edges: a softmax for each node, by the largest score and the sum of those of its edges."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Gat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project, self.out = nn.Linear(6, 16), nn.Linear(16, 3)
            self.source, self.target = (nn.Parameter(torch.randn(2, 8)) for _ in range(2))

        def forward(self, x: Any, edges: Any) -> Any:
            source, target = edges
            h = self.project(x).view(-1, 2, 8)
            score = F.leaky_relu((h * self.source).sum(-1)[source] + (h * self.target).sum(-1)[target], 0.2)
            index = target.unsqueeze(1).expand(-1, 2)
            best = torch.full((x.shape[0], 2), -1e9).scatter_reduce(0, index, score, "amax")
            weight = torch.exp(score - best[target])
            total = torch.zeros(x.shape[0], 2).scatter_add(0, index, weight)
            weight = weight / (total[target] + 1e-9)
            made = torch.zeros_like(h).index_add(0, target, h[source] * weight.unsqueeze(-1))
            return self.out(F.elu(made.flatten(1)))

    return Sample(Gat(), _graph, GRAPH)


@entry
def gin_pooled() -> Sample:
    """Messages, then each graph's mean and maximum of its nodes."""
    import torch
    from torch import nn

    class Gin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))
            self.epsilon, self.head = nn.Parameter(torch.tensor(0.1)), nn.Linear(16, 2)

        def forward(self, x: Any, edges: Any, graph: Any) -> Any:
            x = self.body((1 + self.epsilon) * x + torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]))
            index = graph.unsqueeze(1).expand(-1, 8)
            mean = torch.zeros(4, 8).scatter_reduce(0, index, x, "mean", include_self=False)
            best = torch.zeros(4, 8).scatter_reduce(0, index, x, "amax", include_self=False)
            return self.head(torch.cat([mean, best], -1))

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {**_graph(n, size), "graph": np.sort(_rng().integers(0, 4, size))}

    return Sample(Gin(), feeds, {**GRAPH, "graph": ("nodes",)})


@entry
def point_net() -> Sample:
    import torch
    from torch import nn

    class PointNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn = nn.Sequential(nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16), nn.ReLU())
            self.matrix = nn.Linear(16, 9)
            self.body, self.head = nn.Sequential(nn.Conv1d(3, 32, 1), nn.ReLU()), nn.Conv1d(64, 5, 1)

        def forward(self, x: Any) -> Any:
            turn = self.matrix(self.turn(x).max(2)[0]).view(-1, 3, 3) + torch.eye(3)
            y = self.body(torch.bmm(x.transpose(1, 2), turn).transpose(1, 2))
            whole = y.max(2, keepdim=True)[0].expand(-1, -1, x.shape[2])
            return self.head(torch.cat([y, whole], 1)).transpose(1, 2)

    return Sample(PointNet(), lambda n, size: {"x": _floats(n, 3, 2 * size)}, {"x": ("batch", None, "points")})


@entry
def ball_query() -> Sample:
    """PointNet++: the points around each, farther ones replaced by the first, grouped and pooled."""
    import torch
    from torch import nn

    class Grouping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(16, 5)

        def forward(self, x: Any) -> Any:
            n, count, _ = x.shape
            index = torch.arange(count).view(1, 1, count).repeat([n, count, 1])
            index[torch.cdist(x, x) > 1.0] = count
            index = index.sort(-1)[0][:, :, :6]
            first = index[:, :, :1].repeat([1, 1, 6])
            far = index == count
            index[far] = first[far]
            near = torch.gather(x, 1, index.reshape(n, -1, 1).expand(-1, -1, 3)).view(n, count, 6, 3)
            return self.head(self.body(near - x[:, :, None]).amax(2))

    return Sample(Grouping(), lambda n, size: {"x": _floats(n, 2 * size, 3)}, {"x": ("batch", "points", None)})


@entry
def dgcnn() -> Sample:
    """Edge convolutions over the nearest neighbours of each point."""
    import torch
    from torch import nn

    class Dgcnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edge, self.head = nn.Conv2d(6, 16, 1), nn.Linear(32, 4)

        def forward(self, x: Any) -> Any:
            n, c, count = x.shape
            inner = -2 * torch.matmul(x.transpose(2, 1), x)
            square = (x**2).sum(1, keepdim=True)
            near = (-square - inner - square.transpose(2, 1)).topk(4, -1)[1]
            flat = (near + torch.arange(n).view(-1, 1, 1) * count).view(-1)
            points = x.transpose(2, 1).contiguous()
            around = points.view(n * count, -1)[flat].view(n, count, 4, c)
            own = points.view(n, count, 1, c).repeat(1, 1, 4, 1)
            y = torch.relu(self.edge(torch.cat([around - own, own], 3).permute(0, 3, 1, 2))).max(-1)[0]
            return self.head(torch.cat([y.amax(-1), y.mean(-1)], 1))

    return Sample(Dgcnn(), lambda n, size: {"x": _floats(n, 3, size)}, {"x": ("batch", None, "points")})


@entry
def deep_fm() -> Sample:
    import torch
    from torch import nn

    class DeepFm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.linear, self.bias = nn.Embedding(50, 8), nn.Embedding(50, 1), nn.Parameter(torch.zeros(1))
            self.deep = nn.Sequential(
                nn.Linear(40, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)
            )
            self.register_buffer("offsets", torch.arange(0, 50, 10))

        def forward(self, fields: Any) -> Any:
            ids = fields + self.offsets
            e = self.embed(ids)
            pairs = 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1)).sum(1, keepdim=True)
            return torch.sigmoid(self.linear(ids).sum(1) + self.bias + pairs + self.deep(e.flatten(1))).squeeze(1)

    return Sample(DeepFm(), lambda n, size: {"fields": _rng().integers(0, 10, (size, 5))}, {"fields": ("batch", None)})


@entry
def dlrm() -> Sample:
    """Dense features, bags of categories, and the products of all pairs."""
    import torch
    from torch import nn

    class Dlrm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bottom = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.bags = nn.ModuleList(nn.EmbeddingBag(20, 8, mode="sum") for _ in range(3))
            self.top = nn.Sequential(nn.Linear(14, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())

        def forward(self, dense: Any, sparse: Any) -> Any:
            x = self.bottom(dense)
            vectors = torch.stack([x, *[bag(sparse[:, i]) for i, bag in enumerate(self.bags)]], 1)
            products = torch.bmm(vectors, vectors.transpose(1, 2))
            rows, columns = torch.tril_indices(4, 4, -1)
            return self.top(torch.cat([x, products[:, rows, columns]], 1))

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"dense": _floats(size, 4), "sparse": _rng().integers(0, 20, (size, 3, 2))}

    return Sample(Dlrm(), feeds, {"dense": ("batch", None), "sparse": ("batch", None, None)})


@entry
def sas_rec() -> Sample:
    """The next item of a session: causal attention with padding, scores of all items, the ten best."""
    import torch
    from torch import nn

    class SasRec(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items, self.positions = nn.Embedding(60, 16, padding_idx=0), nn.Embedding(64, 16)
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)

        def forward(self, session: Any) -> tuple[Any, Any]:
            length = session.shape[1]
            x = self.items(session) * 4 + self.positions(torch.arange(length))
            mask = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
            x = self.layer(x, src_mask=mask)[:, -1]
            return torch.topk(x @ self.items.weight.t(), 10)

    dims = {"session": ("batch", "length")}
    return Sample(SasRec(), lambda n, size: {"session": _rng().integers(1, 60, (n, size))}, dims)


@entry
def graph_sage_mean() -> Sample:
    """Neighbours given as a padded table."""
    from torch import nn

    class Sage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.around = nn.Linear(6, 8), nn.Linear(6, 8)

        def forward(self, x: Any, near: Any) -> Any:
            there = (near >= 0).unsqueeze(-1).to(x.dtype)
            taken = x[near.clamp(min=0)] * there
            mean = taken.sum(1) / there.sum(1).clamp(min=1)
            return nn.functional.normalize(self.own(x) + self.around(mean), dim=-1)

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"x": _floats(size, 6), "near": _rng().integers(-1, size, (size, 4))}

    return Sample(Sage(), feeds, {"x": ("nodes", None), "near": ("nodes", None)})


# time series and state spaces ----------------------------------------------------------------------------------------


@entry
def n_beats() -> Sample:
    import torch
    from torch import nn

    class NBeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2))
            grid = torch.arange(16) / 16
            self.register_buffer("basis", torch.stack([grid**i for i in range(4)]))

        def forward(self, x: Any) -> Any:
            level = x.mean(1, keepdim=True)
            rest, total = x - level, 0
            for block in self.blocks:
                back, ahead = block(rest).chunk(2, -1)
                rest = rest - back @ self.basis[:, :12]
                total = total + ahead @ self.basis[:, 12:]
            return total + level

    return Sample(NBeats(), lambda n, size: {"x": _floats(size, 12)}, {"x": ("batch", None)})


@entry
def patch_tst() -> Sample:
    """Instance normalisation, overlapping patches of each channel, an encoder, denormalisation."""
    import torch
    from torch import nn

    class PatchTst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.layer = nn.Linear(8, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.positions, self.head = nn.Parameter(torch.randn(7, 16)), nn.Linear(112, 6)

        def forward(self, x: Any) -> Any:
            mean, spread = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
            y = ((x - mean) / spread).transpose(1, 2).unfold(-1, 8, 4)
            n, channels = y.shape[:2]
            y = self.layer(self.embed(y).flatten(0, 1) + self.positions)
            return self.head(y.reshape(n, channels, -1)).transpose(1, 2) * spread + mean

    return Sample(PatchTst(), lambda n, size: {"x": _floats(size, 32, 3)}, {"x": ("batch", None, None)})


@entry
def autoformer() -> Sample:
    """Decomposition by moving means, and correlation through Fourier transforms."""
    import torch
    from torch import nn

    class Autoformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.q, self.k, self.v = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.mean, self.head = nn.AvgPool1d(5, 1), nn.Linear(8, 3)

        def trend(self, x: Any) -> Any:
            padded = torch.cat([x[:, :1].repeat(1, 2, 1), x, x[:, -1:].repeat(1, 2, 1)], 1)
            return self.mean(padded.transpose(1, 2)).transpose(1, 2)

        def forward(self, x: Any) -> Any:
            trend = self.trend(x)
            y = self.embed(x - trend).transpose(1, 2)
            q, k, v = (layer(y.transpose(1, 2)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            length = x.shape[1]
            found = torch.fft.irfft(torch.fft.rfft(q) * torch.conj(torch.fft.rfft(k)), n=length)
            weights, delays = torch.topk(found.mean(1), 3)
            weights = torch.softmax(weights, -1)
            positions = (torch.arange(length) + delays.unsqueeze(-1)) % length
            total = 0
            for i in range(3):
                moved = torch.gather(v, 2, positions[:, i].unsqueeze(1).expand(-1, 8, -1))
                total = total + moved * weights[:, i, None, None]
            return self.head(total.transpose(1, 2)) + trend

    return Sample(Autoformer(), _series(3), SERIES)


@entry
def informer() -> Sample:
    """Attention of the queries that stand out, and a convolution that halves the length."""
    import torch
    from torch import nn

    class Informer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.qkv = nn.Conv1d(3, 8, 3, padding=1, padding_mode="circular"), nn.Linear(8, 24)
            self.distil = nn.Sequential(
                nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ELU(), nn.MaxPool1d(3, 2, 1)
            )

        def forward(self, x: Any) -> Any:
            y = self.embed(x.transpose(1, 2)).transpose(1, 2)
            q, k, v = self.qkv(y).chunk(3, -1)
            scores = q @ k.transpose(1, 2) / 8**0.5
            measure = scores.max(-1)[0] - scores.mean(-1)
            top = measure.topk(5, sorted=False)[1]
            chosen = torch.gather(scores, 1, top.unsqueeze(-1).expand(-1, -1, x.shape[1]))
            seen = torch.softmax(chosen, -1) @ v
            context = v.mean(1, keepdim=True).expand_as(v).clone()
            context = context.scatter(1, top.unsqueeze(-1).expand(-1, -1, 8), seen)
            return self.distil(context.transpose(1, 2)).transpose(1, 2)

    return Sample(Informer(), _series(3), SERIES)


@entry
def temporal_convolution() -> Sample:
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    class Tcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [(3, 8, 1), (8, 8, 2), (8, 8, 4)]
            self.layers = nn.ModuleList(weight_norm(nn.Conv1d(i, o, 3, padding=2 * d, dilation=d)) for i, o, d in sizes)
            self.skip, self.head = nn.Conv1d(3, 8, 1), nn.Linear(8, 2)

        def forward(self, x: Any) -> Any:
            y = x.transpose(1, 2)
            for i, layer in enumerate(self.layers):
                z = torch.relu(layer(y)[..., : -2 * 2**i])
                y = z + (self.skip(y) if i == 0 else y)
            return self.head(y[:, :, -1])

    return Sample(Tcn(), _series(3), SERIES)


@entry
def s4() -> Sample:
    """A state space as a long convolution whose kernel is made of complex weights."""
    import torch
    from torch import nn

    class S4(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_step = nn.Parameter(torch.rand(8) - 3)
            self.c = nn.Parameter(torch.randn(8, 4, dtype=torch.cfloat))
            self.log_real, self.imaginary = (
                nn.Parameter(torch.zeros(8, 4)),
                nn.Parameter(torch.arange(4.0).repeat(8, 1)),
            )
            self.direct, self.embed, self.out = nn.Parameter(torch.randn(8)), nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: Any) -> Any:
            u = self.embed(x).transpose(1, 2)
            length = u.shape[-1]
            a = -torch.exp(self.log_real) + 1j * self.imaginary
            step = a * torch.exp(self.log_step).unsqueeze(-1)
            c = self.c * (torch.exp(step) - 1) / a
            kernel = 2 * torch.einsum("hn,hnl->hl", c, torch.exp(step.unsqueeze(-1) * torch.arange(length))).real
            y = torch.fft.irfft(torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(kernel, n=2 * length), n=2 * length)
            y = y[..., :length] + u * self.direct.unsqueeze(-1)
            return self.out(nn.functional.gelu(y).transpose(1, 2))

    return Sample(S4(), _series(3), SERIES)


@entry
def parallel_scan() -> Sample:
    """A selective state space without a loop: decays and inputs through cumulated sums of logarithms."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Scan(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gates, self.out = nn.Linear(3, 8), nn.Linear(8, 16), nn.Linear(8, 2)
            self.mix = nn.Conv1d(8, 8, 4, padding=3, groups=8)

        def forward(self, x: Any) -> Any:
            y = self.embed(x)
            y = F.silu(self.mix(y.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
            gate, value = self.gates(y).chunk(2, -1)
            forget, write = -F.softplus(gate), -F.softplus(-gate)
            decay = torch.cumsum(forget, 1)
            state = decay + torch.logcumsumexp(write + torch.log(F.softplus(value) + 1e-3) - decay, 1)
            return self.out(torch.exp(state))

    return Sample(Scan(), _series(3), SERIES)


@entry
def fourier_operator() -> Sample:
    """A Fourier neural operator: products with complex weights at the lowest frequencies."""
    import torch
    from torch import nn

    class Operator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift, self.out = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 1, 1)
            self.low, self.high = (nn.Parameter(torch.randn(8, 8, 4, 4, dtype=torch.cfloat) / 8) for _ in range(2))
            self.beside = nn.Conv2d(8, 8, 1)

        def forward(self, x: Any) -> Any:
            y = self.lift(x)
            n, c, h, w = y.shape
            spectrum = torch.fft.rfft2(y)
            made = torch.zeros(n, 8, h, w // 2 + 1, dtype=torch.cfloat)
            made[:, :, :4, :4] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :4, :4], self.low)
            made[:, :, -4:, :4] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, -4:, :4], self.high)
            return self.out(nn.functional.gelu(torch.fft.irfft2(made, s=(h, w)) + self.beside(y)))

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"x": _floats(n, 3, size, size + 3)}

    return Sample(Operator(), feeds, {"x": ("batch", None, "height", "width")})


@entry
def spline_network() -> Sample:
    """A Kolmogorov-Arnold network: B-splines of every input, whose intervals are found by comparison."""
    import torch
    from torch import nn

    class Spline(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("grid", torch.linspace(-2.2, 2.2, 12).repeat(4, 1))
            self.weight, self.base = nn.Parameter(torch.randn(3, 4, 8) * 0.3), nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            index = torch.searchsorted(self.grid[0], x.clamp(-2, 2))
            u = x.clamp(-2.1, 2.1).unsqueeze(-1)
            bases = ((u >= self.grid[:, :-1]) & (u < self.grid[:, 1:])).to(x.dtype)
            for k in range(1, 4):
                left = (u - self.grid[:, : -(k + 1)]) / (self.grid[:, k:-1] - self.grid[:, : -(k + 1)])
                right = (self.grid[:, k + 1 :] - u) / (self.grid[:, k + 1 :] - self.grid[:, 1:-k])
                bases = left * bases[..., :-1] + right * bases[..., 1:]
            made = torch.einsum("bik,oik->bo", bases, self.weight)
            return self.base(torch.nn.functional.silu(x)) + made, index

    return Sample(Spline(), lambda n, size: {"x": _floats(size, 4)}, {"x": ("batch", None)})


@entry
def seq2seq_attention() -> Sample:
    """An encoder with a projected LSTM, attention, and a decoder of three steps by beams of the best."""
    import torch
    from torch import nn

    class Translate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 12)
            self.encode = nn.LSTM(12, 16, 2, batch_first=True, bidirectional=True, proj_size=6)
            self.cell, self.head = nn.GRUCell(24, 12), nn.Linear(12, 40)

        def forward(self, text: Any) -> Any:
            memory, _ = self.encode(self.embed(text))
            state, token, steps = memory.mean(1), text[:, 0], []
            for _ in range(3):
                weights = torch.softmax((memory * state.unsqueeze(1)).sum(-1), -1)
                seen = (weights.unsqueeze(-1) * memory).sum(1)
                state = self.cell(torch.cat([self.embed(token), seen], -1), state)
                scores = self.head(state)
                token = scores.argmax(-1)
                steps.append(scores)
            return torch.stack(steps, 1)

    return Sample(
        Translate(), lambda n, size: {"text": _rng().integers(1, 40, (n, size))}, {"text": ("batch", "length")}
    )
