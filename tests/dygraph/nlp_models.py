"""PaddleNLP's BERT and ERNIE from a small configuration; imported by the Python that has PaddleNLP."""

SMALL = {
    "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip

# networks that PaddleNLP and transformers both have, under the same names: configuration, model, its arguments
SAME = {
    "bert": ("BertConfig", "BertModel", {"type_vocab_size": 2, **SMALL}),
    "bert_labels": ("BertConfig", "BertForSequenceClassification", {"type_vocab_size": 2, "num_labels": 3, **SMALL}),
    "bert_mlm": ("BertConfig", "BertForMaskedLM", {"type_vocab_size": 2, **SMALL}),
    "ernie": ("ErnieConfig", "ErnieModel", {"type_vocab_size": 2, **SMALL}),
    "roberta": ("RobertaConfig", "RobertaForSequenceClassification",
                {"type_vocab_size": 2, "num_labels": 3, "pad_token_id": 1, **SMALL}),
    "electra": ("ElectraConfig", "ElectraModel", {"embedding_size": 16, **SMALL}),
    "distilbert": ("DistilBertConfig", "DistilBertModel", {
        "vocab_size": 120, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}),
}  # fmt: skip


def same(kind):
    """PaddleNLP's."""
    import paddlenlp.transformers as models

    config, model, arguments = SAME[kind]
    if kind == "distilbert":  # transformers' names of the arguments
        arguments = SMALL
    return getattr(models, model)(getattr(models, config)(**arguments))


def bert(num_labels=3):
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(num_labels=num_labels, **SMALL))


def ernie():
    from paddlenlp.transformers import ErnieConfig, ErnieModel

    return ErnieModel(ErnieConfig(**SMALL))


if __name__ == "__main__":
    import sys

    bert().save_pretrained(sys.argv[1])
