"""BERT and ERNIE as PaddleNLP builds them, in ``paddle.nn`` alone, with random weights.

For the profile ``offline`` of the recipes: the architecture of the real models (embeddings, post-norm encoder, pooler,
masks) in any size, without PaddleNLP and without a download. The weights are the same in every run.
"""

import paddle
from paddle import nn

SEED = 2022


class Embeddings(nn.Layer):
    def __init__(self, vocab_size, hidden_size, positions, types, tasks, dropout):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(positions, hidden_size)
        self.token_type_embeddings = nn.Embedding(types, hidden_size)
        self.task_type_embeddings = nn.Embedding(tasks, hidden_size) if tasks else None
        self.layer_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids, token_type_ids):
        ones = paddle.ones_like(input_ids)
        position_ids = paddle.cumsum(ones, axis=-1) - ones
        found = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        found = found + self.token_type_embeddings(token_type_ids)
        if self.task_type_embeddings is not None:
            found = found + self.task_type_embeddings(paddle.zeros_like(input_ids))
        return self.dropout(self.layer_norm(found))


class Encoder(nn.Layer):
    """What BERT and ERNIE share: ``(sequence_output, pooled_output)``."""

    def __init__(
        self,
        vocab_size=21128,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=2,
        task_type_vocab_size=0,
        dropout=0.1,
    ):
        super().__init__()
        self.embeddings = Embeddings(
            vocab_size, hidden_size, max_position_embeddings, type_vocab_size, task_type_vocab_size, dropout
        )
        layer = nn.TransformerEncoderLayer(
            hidden_size, num_attention_heads, intermediate_size, dropout, activation="gelu", act_dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, num_hidden_layers)
        self.pooler = nn.Linear(hidden_size, hidden_size)

    def forward(self, input_ids, token_type_ids=None, attention_mask=None):
        if attention_mask is None:
            mask = paddle.unsqueeze((input_ids == 0).astype("float32") * -1e4, axis=[1, 2])
        else:
            mask = (1.0 - paddle.unsqueeze(attention_mask, axis=[1, 2]).astype("float32")) * -1e4
        if token_type_ids is None:
            token_type_ids = paddle.zeros_like(input_ids)
        sequence = self.encoder(self.embeddings(input_ids, token_type_ids), mask)
        return sequence, paddle.tanh(self.pooler(sequence[:, 0]))


class Classifier(nn.Layer):
    """BertForSequenceClassification: the logits of *num_labels* classes."""

    def __init__(self, num_labels, **config):
        super().__init__()
        self.bert = Encoder(**config)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(self.bert.pooler.weight.shape[1], num_labels)

    def forward(self, input_ids, token_type_ids=None, attention_mask=None):
        _, pooled = self.bert(input_ids, token_type_ids, attention_mask)
        return self.classifier(self.dropout(pooled))


def bert_classifier(num_labels=2, **config):
    paddle.seed(SEED)
    return Classifier(num_labels, **config)


def ernie(**config):
    """ErnieModel of ERNIE 3.0, which has embeddings for task types."""
    paddle.seed(SEED)
    return Encoder(task_type_vocab_size=3, type_vocab_size=4, **config)
