"""Small networks of the kinds that users bring, as a file that ``nets.py:Mlp`` names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100,
}  # fmt: skip


class Mlp(nn.Module):
    """Two outputs, one of them not what it is wanted for."""

    def __init__(self, width: int = 8, half: bool = False):
        super().__init__()
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 4)
        if half:
            self.half()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.relu(self.first(x))
        return {"logits": self.last(hidden), "hidden": hidden}


class Convolutional(nn.Module):
    """Images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(image)).relu().mean((2, 3)))


class OneLength(nn.Module):
    """Goes another way for sequences of 12: torch.export keeps one of the ways."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(12, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.positions if x.shape[1] == 12 else x * 2


class Decides(nn.Module):
    """Goes another way for other values: torch.export refuses it, a trace keeps one of the ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if float(x.sum()) < 1e9 else x


class Changeable(nn.Module):
    """What it computes depends on the values that are compared: a trace at small ones is wrong at large ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if float(x.abs().max()) < 10 else self.layer(x) * 3


class Unscriptable(nn.Module):
    """Decides by values, and is nothing that torch.jit.script takes: only a trace is left."""

    def __init__(self, most: float = 1e9) -> None:
        super().__init__()
        self.layer, self.most = nn.Linear(4, 4), most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        larger = lambda y: y * 3  # noqa: E731 - a script has no lambda
        return self.layer(x) if float(x.abs().max()) < self.most else larger(self.layer(x))


class Shortcut(nn.Module):
    """Saves the work of a mask that masks nothing, and checks the values that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert torch.isfinite(x).all(), "x has infinite numbers"
        y = self.layer(x)
        if (mask == 0).any():
            y = y.masked_fill((mask == 0)[..., None], 0)
        if y.isnan().any():
            raise ValueError("not a number")
        return y


class Marked(Shortcut):
    """Beside the shortcut a way that no input takes that is tried."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        marked = lambda y: y * 3  # noqa: E731 - a script has no lambda
        y = super().forward(x, mask)
        return marked(y) if (mask == 2).any() else y


class Products(nn.Module):
    """Linear attention with a product of three, whose cheapest order torch looks for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = x.view(x.shape[0], x.shape[1], 2, 4) / 8
        kv = torch.einsum("bnhd,bnhm->bhmd", q, q)
        return torch.einsum("bnhd,bhmd,bnh->bnhm", q, kv, q[..., 0])


class Framed(nn.Module):
    """Frames of a sound, of which the shortest usual one has one."""

    def __init__(self) -> None:
        super().__init__()
        self.frames, self.inner = nn.Conv1d(1, 4, 16, 8), nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.frames(x)).flatten(1, 2).view(x.shape[0], 4, -1)


class Warped(nn.Module):
    """A grid of numbers counted through an image that a convolution has made smaller, as optical flow has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small = self.conv(image)
        batch, _, height, width = small.shape
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        grid = torch.stack([x, y], -1).expand(batch, -1, -1, -1) * 0.9
        warped = nn.functional.grid_sample(small, grid, align_corners=True)
        return nn.functional.interpolate(warped, size=(width, height * 2), mode="bilinear", align_corners=False)


class Turned(nn.Module):
    """``affine_grid``, whose base torch makes of counted numbers."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        turn = torch.tensor([[0.8, 0.3, 0.1], [-0.3, 0.8, 0.0]]).expand(image.shape[0], -1, -1)
        grid = nn.functional.affine_grid(turn, [*image.shape], align_corners=False)
        return nn.functional.grid_sample(image, grid, align_corners=False)


class WholePooled(nn.Module):
    """Windows that are the whole image."""

    def forward(self, image: torch.Tensor) -> Any:
        mean = nn.functional.avg_pool2d(image, image.shape[2:])
        return mean, nn.functional.max_pool2d(image, kernel_size=image.size()[2:]), image.shape[2] * mean


class Chunked(nn.Module):
    """A size divided by ``torch.div``, as Longformer's windows are."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        missing = -image.shape[2] % 4
        image = nn.functional.pad(image, (0, 0, 0, missing))
        chunks = torch.div(image.shape[2], 4, rounding_mode="trunc")
        return image.reshape(image.shape[0], 3, chunks, 4, -1).amax(3)


class Padded(nn.Module):
    """Fills up to a multiple of 8, where a size is none."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        missing = -image.shape[2] % 8
        if missing:
            image = nn.functional.pad(image, (0, 0, 0, missing))
        return image.reshape(image.shape[0], 3, image.shape[2] // 8, 8, -1).sum(3)


class BySize(nn.Module):
    """Goes another way for large images."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 2 if image.shape[2] > 70 else image * 3


class Rows(nn.Module):
    """One turn for each fourth row."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(image[:, :, 0])
        for i in range(image.shape[2] // 4):
            total = total + image[:, :, i] * i
        return total


class Named(Rows):
    """The same, in a form that only a trace takes."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (lambda x: Rows.forward(self, x))(image)


class Noisy(nn.Module):
    """Draws numbers in several ways; their means leave a function of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(x)
        noise = torch.randn(hidden.shape[0], 4) + torch.randn_like(hidden) + torch.normal(hidden, torch.ones(4))
        kept = nn.functional.dropout(hidden, 0.5, training=True)
        return noise * 0.7 + kept + torch.rand_like(hidden) + torch.empty_like(hidden).uniform_(1, 3)


class Packed(nn.Module):
    """An LSTM over sequences of several lengths; the result ends with the longest one."""

    def __init__(self, batch_first: bool = True, kind: str = "LSTM") -> None:
        super().__init__()
        self.batch_first, self.table = batch_first, nn.Embedding(20, 6)
        self.rnn = getattr(nn, kind)(6, 5, batch_first=batch_first, bidirectional=True, num_layers=2)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor, unread: torch.Tensor) -> torch.Tensor:
        x = self.table(ids) if self.batch_first else self.table(ids).transpose(0, 1)
        pack, pad = nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
        packed = pack(x, lengths.cpu(), batch_first=self.batch_first, enforce_sorted=False)
        return pad(self.rnn(packed)[0], batch_first=self.batch_first)[0]


class Singular(nn.Module):
    """What no route converts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(x)[1] + torch.linalg.eigvalsh(x)


class Looked(nn.Module):
    """Ids that must be below the size of a table, and a mask."""

    def __init__(self, rows: int = 9) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 6)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return (self.table(input_ids) * attention_mask.unsqueeze(-1)).sum(1), input_ids.sum(1)


class Stream(nn.Module):
    """What is left of one call is read by the next, as in a network for streams.

    Args:
        how: ``write`` into the buffer, ``replace`` it, or ``attribute``: keep it where no buffer is registered.
    """

    def __init__(self, how: str = "replace") -> None:
        super().__init__()
        self.layer = nn.Conv1d(3, 4, 3)
        self.how = how
        if how == "attribute":
            self.cache = torch.zeros(1, 3, 2)
        else:
            self.register_buffer("cache", torch.zeros(1, 3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([self.cache.expand(x.shape[0], 3, 2), x], -1)
        left = y[:1, :, -2:].detach()
        if self.how == "write":
            self.cache.copy_(left)
        else:
            self.cache = left
        return self.layer(y)


class Unread(nn.Module):
    """Takes a mask and does not look at it; or only where no tracer sees it.

    Args:
        hidden: the mask decides through numpy.
    """

    def __init__(self, hidden: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.hidden = hidden

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.hidden:
            return self.layer(x) * float(np.asarray(mask.detach().cpu()).reshape(-1)[0])
        return self.layer(x)


def not_a_module() -> dict[str, int]:
    return {}


class Masking(torch.nn.Module):
    """Keeps the half of the rows whose noise is least, as masked autoencoders do; the noise may be given."""

    def forward(self, x: Any, noise: Any = None) -> Any:
        noise = torch.rand(x.shape[:2]) if noise is None else noise
        kept = noise.argsort(1)[:, : x.shape[1] // 2]
        return x.gather(1, kept.unsqueeze(-1).expand(-1, -1, x.shape[2]))
