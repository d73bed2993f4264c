"""Saves a BERT-base sized model (12 layers, width 768, 440 MB) with the Paddle that runs this: ``make_bert.py OUT``."""

import os
import sys

os.environ["FLAGS_enable_pir_api"] = "0"

import paddle
import paddle.nn as nn


class Bert(nn.Layer):
    def __init__(self, layers=12, width=768, words=30522):
        super().__init__()
        self.word, self.position, self.kind = (nn.Embedding(n, width) for n in (words, 512, 2))
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(width, 12, 3072, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pool, self.classify = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, input_ids, token_type_ids, attention_mask):
        weight = (1 - attention_mask.unsqueeze([1, 2]).astype("float32")) * -1e4
        positions = paddle.cumsum(paddle.ones_like(input_ids), -1) - 1
        hidden = self.norm(self.word(input_ids) + self.position(positions) + self.kind(token_type_ids))
        return self.classify(paddle.tanh(self.pool(self.encoder(hidden, weight)[:, 0])))


model = Bert()
model.eval()
spec = [paddle.static.InputSpec([None, None], "int64", n) for n in ("input_ids", "token_type_ids", "attention_mask")]
paddle.jit.save(paddle.jit.to_static(model, input_spec=spec), os.path.join(sys.argv[1], "bert"))
