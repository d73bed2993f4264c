"""The same network twice: in PyTorch with weights, and in Paddle without."""

from __future__ import annotations

from typing import Any

SMALL = {
    "vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 40,
}  # fmt: skip
TEXT = ["input_ids:int64[batch,length]", "attention_mask:int64[batch,length]", "token_type_ids:int64[batch,length]"]


def transformer_encoder() -> tuple[Any, Any, list[str]]:
    import paddle
    import torch

    theirs = torch.nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True)
    mine = paddle.nn.TransformerEncoderLayer(16, 4, 32, activation="gelu")
    return (
        torch.nn.TransformerEncoder(theirs, 2, torch.nn.LayerNorm(16)),
        paddle.nn.TransformerEncoder(mine, 2, paddle.nn.LayerNorm(16)),
        ["src:float32[batch,length,16]"],
    )


def multihead_attention() -> tuple[Any, Any, list[str]]:
    import paddle
    import torch

    return (
        torch.nn.MultiheadAttention(16, 4, batch_first=True),
        paddle.nn.MultiHeadAttention(16, 4),
        [f"{name}:float32[batch,length,16]" for name in ("query", "key", "value")],
    )


def attention_of_other_widths() -> tuple[Any, Any, list[str]]:
    """With kdim and vdim PyTorch keeps three matrices, and none of them is square."""
    import paddle
    import torch

    return (
        torch.nn.MultiheadAttention(16, 4, kdim=6, vdim=10, batch_first=True),
        paddle.nn.MultiHeadAttention(16, 4, kdim=6, vdim=10),
        ["query:float32[b,length,16]", "key:float32[b,other,6]", "value:float32[b,other,10]"],
    )


def conv_bn() -> tuple[Any, Any, list[str]]:
    """Convolutions both ways, batch norms with statistics and without weights, and what is called differently."""
    import paddle
    import torch
    from torch import nn

    norm, plain = nn.BatchNorm2d(8), nn.BatchNorm2d(4, affine=False)
    for one in (norm, plain):
        torch.nn.init.normal_(one.running_mean)
        torch.nn.init.uniform_(one.running_var, 0.5, 2)
    theirs = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), norm, nn.PReLU(8), nn.ConvTranspose2d(8, 4, 2, 2), plain,
        nn.InstanceNorm2d(4, affine=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4),
    )  # fmt: skip
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    p = paddle.nn
    mine = p.Sequential(
        p.Conv2D(3, 8, 3, padding=1, bias_attr=False), p.BatchNorm2D(8), p.PReLU(8), p.Conv2DTranspose(8, 4, 2, 2),
        p.BatchNorm2D(4), p.InstanceNorm2D(4), p.AdaptiveAvgPool2D(1), p.Flatten(), p.Linear(4, 4),
    )  # fmt: skip
    return theirs, mine, ["input:float32[batch,3,height,width]"]


def lstm() -> tuple[Any, Any, list[str]]:
    import paddle
    import torch

    return (
        torch.nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True),
        paddle.nn.LSTM(6, 5, 2, direction="bidirect"),
        ["inputs:float32[batch,time,6]"],
    )


def gru() -> tuple[Any, Any, list[str]]:
    import paddle
    import torch

    return (
        torch.nn.GRU(6, 5, 2, bidirectional=True, batch_first=True),
        paddle.nn.GRU(6, 5, 2, direction="bidirect"),
        ["inputs:float32[batch,time,6]"],
    )


def bert() -> tuple[Any, Any, list[str]]:
    """transformers' BERT into one that is written by hand, with PaddleNLP's names."""
    import transformers

    return transformers.BertModel(transformers.BertConfig(**SMALL)), paddle_bert(), TEXT


def paddle_bert() -> Any:
    """A BERT; its parameters are called as PaddleNLP calls them."""
    import paddle
    from paddle import nn

    width = SMALL["hidden_size"]

    class Embeddings(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.word_embeddings = nn.Embedding(SMALL["vocab_size"], width)
            self.position_embeddings = nn.Embedding(SMALL["max_position_embeddings"], width)
            self.token_type_embeddings = nn.Embedding(2, width)
            self.layer_norm = nn.LayerNorm(width, epsilon=1e-12)

        def forward(self, ids, types):  # type: ignore[no-untyped-def]
            positions = paddle.cumsum(paddle.ones_like(ids), axis=1) - 1
            return self.layer_norm(
                self.word_embeddings(ids) + self.position_embeddings(positions) + self.token_type_embeddings(types)
            )

    class Pooler(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(width, width)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return paddle.tanh(self.dense(x[:, 0]))

    class Bert(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = Embeddings()
            layer = nn.TransformerEncoderLayer(
                width, SMALL["num_attention_heads"], SMALL["intermediate_size"], activation="gelu"
            )
            self.encoder = nn.TransformerEncoder(layer, SMALL["num_hidden_layers"])
            for one in self.encoder.sublayers():
                if isinstance(one, nn.LayerNorm):
                    one._epsilon = 1e-12
            self.pooler = Pooler()

        def forward(self, input_ids, token_type_ids, attention_mask):  # type: ignore[no-untyped-def]
            mask = (1.0 - attention_mask.unsqueeze([1, 2]).astype("float32")) * -1e4
            x = self.encoder(self.embeddings(input_ids, token_type_ids), mask)
            return x, self.pooler(x)

    return Bert()
