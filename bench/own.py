"""Paddle's own export of an architecture, by whatever Paddle runs this: ``python own.py NAME OUT [LAYERS HIDDEN]``.

Runs in Paddle 2.3.2 to 3.x and imports nothing of mconv. What it saves (``OUT.pdmodel`` or ``OUT.json``, and
``OUT.pdiparams``) is what converted models of the same architecture and size are measured against:

=============  ======================================================================================
bert           ``nn.TransformerEncoder``, as PaddleNLP's ``BertModel``; with an attention mask that is fed
vit            ViT-B/16 on ``nn.TransformerEncoder`` (``normalize_before``), 224 × 224, 1,000 classes
resnet50       ``paddle.vision.models.resnet50``
mobilenetv3    ``paddle.vision.models.mobilenet_v3_large``
=============  ======================================================================================
"""

import sys

import paddle
from paddle import nn


class Embeddings(nn.Layer):
    def __init__(self, vocabulary, hidden):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, hidden)
        self.position_embeddings = nn.Embedding(512, hidden)
        self.token_type_embeddings = nn.Embedding(2, hidden)
        self.layer_norm = nn.LayerNorm(hidden, epsilon=1e-12)

    def forward(self, input_ids, token_type_ids):
        ones = paddle.ones_like(input_ids, dtype="int64")
        positions = paddle.cumsum(ones, axis=-1) - ones
        embedded = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.layer_norm(embedded + self.token_type_embeddings(token_type_ids))


class Bert(nn.Layer):
    def __init__(self, layers=12, hidden=768, vocabulary=30522):
        super().__init__()
        self.embeddings = Embeddings(vocabulary, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, hidden // 64 or 1, 4 * hidden, dropout=0.1, activation="gelu", attn_dropout=0.1, act_dropout=0
        )
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pooler = nn.Linear(hidden, hidden)

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden_mask = (1.0 - attention_mask.astype("float32").unsqueeze([1, 2])) * -1e4
        states = self.encoder(self.embeddings(input_ids, token_type_ids), hidden_mask)
        return states, paddle.tanh(self.pooler(states[:, 0]))


class ViT(nn.Layer):
    def __init__(self, layers=12, hidden=768):
        super().__init__()
        self.patches = nn.Conv2D(3, hidden, 16, 16)
        self.cls_token = self.create_parameter([1, 1, hidden])
        self.positions = self.create_parameter([1, 197, hidden])
        layer = nn.TransformerEncoderLayer(
            hidden, hidden // 64, 4 * hidden, dropout=0.0, activation="gelu", normalize_before=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden, epsilon=1e-12))
        self.head = nn.Linear(hidden, 1000)

    def forward(self, pixel_values):
        x = self.patches(pixel_values).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.cls_token.expand([x.shape[0], -1, -1]), x], axis=1) + self.positions
        return self.head(self.encoder(x)[:, 0])


def vary(model):
    """Distinct numbers in what is initialised alike (scales, biases, statistics), as training leaves them."""
    for _, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.ndim == 1 and "float" in str(tensor.dtype):
            tensor.set_value(tensor + 0.1 * paddle.rand(tensor.shape, dtype="float32"))


def main():
    name, out, sizes = sys.argv[1], sys.argv[2], [int(n) for n in sys.argv[3:]]
    paddle.seed(0)
    if name == "bert":
        model = Bert(*sizes)
        feeds = [([None, None], "int64", n) for n in ("input_ids", "attention_mask", "token_type_ids")]
    else:
        feeds = [([None, 3, 224, 224], "float32", "pixel_values")]
        if name == "vit":
            model = ViT(*sizes)
        elif name == "resnet50":
            model = paddle.vision.models.resnet50()
        else:
            model = paddle.vision.models.mobilenet_v3_large()
    vary(model)
    model.eval()
    model = paddle.jit.to_static(model, input_spec=[paddle.static.InputSpec(*feed) for feed in feeds])
    paddle.jit.save(model, out)


if __name__ == "__main__":
    main()
