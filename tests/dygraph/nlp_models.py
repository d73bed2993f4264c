"""PaddleNLP's BERT and ERNIE from a small configuration; imported by the Python that has PaddleNLP."""

SMALL = {
    "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip


def bert(num_labels=3):
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(num_labels=num_labels, **SMALL))


def ernie():
    from paddlenlp.transformers import ErnieConfig, ErnieModel

    return ErnieModel(ErnieConfig(**SMALL))


if __name__ == "__main__":
    import sys

    bert().save_pretrained(sys.argv[1])
