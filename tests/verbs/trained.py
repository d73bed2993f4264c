"""Small nets that learn a made-up task in a minute or less: their accuracy is a number that quantisation may lose.

- stripes: pictures of noise with waves in one of ten directions, for convolutions with residual connections;
- order: sentences in which one word comes before another or not, and a third is there or not, for a transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
Data = tuple[np.ndarray, np.ndarray]


def stripes(count: int, seed: int, classes: int = 10, size: int = 32) -> Data:
    """Pictures [count, 3, size, size], and which of the directions each has."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    images = random.normal(0, 0.7, (count, 3, size, size))
    down, right = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    for image, label in zip(images, labels):
        angle, pace = np.pi * label / classes + random.normal(0, 0.05), random.uniform(0.5, 0.8)
        wave = np.sin((down * np.cos(angle) + right * np.sin(angle)) * pace + random.uniform(0, 6))
        image += wave * random.uniform(0.4, 0.7)
    return images.astype(np.float32), labels.astype(np.int64)


def order(count: int, seed: int, length: int = 24) -> Data:
    """Sentences [count, length]: bit 0 says whether word 4 comes before 5, bit 1 whether word 6 is there."""
    random = np.random.default_rng(seed)
    ids, labels = random.integers(8, 100, (count, length)), random.integers(0, 4, count)
    for row, label in zip(ids, labels):
        *pair, third = random.permutation(np.arange(1, length))[:3]
        row[sorted(pair)] = (4, 5) if label % 2 else (5, 4)
        if label // 2:
            row[third] = 6
    ids[:, 0] = 1
    return ids, labels.astype(np.int64)


def resnet(width: int = 16, classes: int = 10) -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int = 1):
            super().__init__()
            self.first, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
            self.second, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
            beside = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.beside = nn.Identity() if before == after else beside

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.norm1(self.first(x)))
            return torch.relu(self.beside(x) + self.norm2(self.second(y)))

    torch.manual_seed(0)
    stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    blocks = [Block(width, width), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes))


def bert(width: int = 64, layers: int = 3) -> Any:
    import torch
    from torch import nn

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.positions, self.norm = (
                nn.Embedding(100, width),
                nn.Embedding(24, width),
                nn.LayerNorm(width),
            )
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True) for _ in range(layers)
            )
            self.pool, self.head = nn.Linear(width, width), nn.Linear(width, 4)
            self.register_buffer("at", torch.arange(24)[None])

        def forward(self, ids: Any) -> Any:
            x = self.norm(self.words(ids) + self.positions(self.at[:, : ids.shape[1]]))
            for layer in self.layers:
                x = layer(x)
            return self.head(torch.tanh(self.pool(x[:, 0])))

    torch.manual_seed(0)
    return Bert()


def train(net: Any, data: Callable[[int, int], Data], rows: int, rate: float, epochs: int, good: float = 0.97) -> float:
    """Train, the same way every time: in each cycle of *epochs* the rate rises to *rate* and falls again, until the net
    answers *good* of 1,000 other rows rightly, or four cycles are over. Returns the share that it reaches."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = (torch.from_numpy(a) for a in data(rows, 1))
    other, wanted = (torch.from_numpy(a) for a in data(1000, 2))
    optimizer, right = torch.optim.Adam(net.parameters(), rate), 0.0
    for _ in range(4):
        steps = epochs * -(-rows // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.3)
        net.train()
        for batch in (b for _ in range(epochs) for b in torch.randperm(rows).split(BATCH)):
            loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            right = float((net(other).argmax(1) == wanted).float().mean())
        if right >= good:
            break
    torch.set_num_threads(threads)
    return right


def save(net: Any, x: np.ndarray, path: Path) -> Path:
    """The net as ONNX with an open batch, input ``x``."""
    import torch

    net.eval()
    open_ = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(
        net,
        (torch.from_numpy(x[:2]),),
        str(path),
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=open_,
        dynamo=False,
    )
    return path
