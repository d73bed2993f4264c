"""Run by a runtime's own interpreter: saves a small model with paddle.jit.save. Arguments: kind, path prefix."""

import sys

import paddle
from paddle import nn
from paddle.static import InputSpec


class Bert(nn.Layer):
    """Embeddings, a Transformer encoder under an attention mask, a pooled classifier."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.types = nn.Embedding(2, 16)
        self.norm = nn.LayerNorm(16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.classifier = nn.Linear(16, 3)

    def forward(self, input_ids, token_type_ids, attention_mask):
        mask = (1.0 - attention_mask.astype("float32")).unsqueeze([1, 2]) * -1e4
        hidden = self.norm(self.words(input_ids) + self.types(token_type_ids))
        return self.classifier(self.encoder(hidden, mask)[:, 0])


class Mlp(nn.Layer):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        return self.layers(x)


class Scale(nn.Layer):
    """Nothing that would have to be stored."""

    def forward(self, x):
        return x.astype("float32") / 255.0 - 0.5


ids = [InputSpec([None, None], "int64", name) for name in ("input_ids", "token_type_ids", "attention_mask")]
MODELS = {
    "bert": (Bert, ids),
    "mlp": (Mlp, [InputSpec([None, 8], "float32", "x")]),
    "scale": (Scale, [InputSpec([None, 3], "uint8", "x")]),
}

paddle.seed(7)
kind, prefix = sys.argv[1:]
make, specs = MODELS[kind]
model = make()
model.eval()
paddle.jit.save(paddle.jit.to_static(model, input_spec=specs), prefix)
