"""More PyTorch models, of architectures that people deploy; see :mod:`tests.zoo.torch_models`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import (
    SMALL,
    VISION,
    Sample,
    _attention,
    _first,
    _fixed_images,
    _rng,
    _text,
    _tokens,
    register,
)

MORE: dict[str, Any] = {}
entry = register(MORE)


def _lively(model: Any, side: int) -> Any:
    """With larger weights, and the statistics of noise in its batch normalisations: something comes out at the end."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 1.5 / parameter[0].numel() ** 0.5)
    with torch.no_grad():
        model.train()(torch.from_numpy(_rng().standard_normal((16, 3, side, side)).astype(np.float32)))
    return model.eval()


def _vision(model: Any, side: int = 32) -> Sample:
    dims = {"pixel_values": ("batch", None, None, None)}
    return Sample(_first(model, "pixel_values"), _fixed_images(side, "pixel_values"), dims)


@entry
def sentence_encoder() -> Sample:
    """BERT, mean pooling over the mask, unit length: what embedding services run."""
    import torch
    from transformers import BertConfig, BertModel

    class Sentences(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(BertConfig(**SMALL), add_pooling_layer=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            tokens = self.bert(input_ids, attention_mask)[0]
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return {"sentence_embedding": torch.nn.functional.normalize(pooled, p=2, dim=1)}

    dims = {"input_ids": ("batch", "length"), "attention_mask": ("batch", "length")}
    return Sample(Sentences(), _tokens(), dims)


@entry
def albert() -> Sample:
    from transformers import AlbertConfig, AlbertModel

    return _text(AlbertModel(AlbertConfig(**SMALL, embedding_size=16)), types=True)


@entry
def mpnet() -> Sample:
    from transformers import MPNetConfig, MPNetModel

    return _text(MPNetModel(MPNetConfig(**SMALL, max_position_embeddings=64)))


@entry
def modernbert() -> Sample:
    from transformers import ModernBertConfig, ModernBertModel

    config = ModernBertConfig(**SMALL, pad_token_id=0, global_attn_every_n_layers=2, local_attention=8)
    return _text(ModernBertModel(config))


@entry
def gpt_neox() -> Sample:
    from transformers import GPTNeoXConfig, GPTNeoXModel

    return _text(GPTNeoXModel(GPTNeoXConfig(**SMALL, use_cache=False)))


@entry
def mistral() -> Sample:
    from transformers import MistralConfig, MistralModel

    return _text(MistralModel(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=8, use_cache=False)))


@entry
def qwen2() -> Sample:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return _text(Qwen2ForCausalLM(Qwen2Config(**SMALL, num_key_value_heads=2, use_cache=False)))


@entry
def bart_encoder() -> Sample:
    from transformers import BartConfig
    from transformers.models.bart.modeling_bart import BartEncoder

    config = BartConfig(vocab_size=100, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64)
    return _text(BartEncoder(config))


@entry
def t5() -> Sample:
    """Encoder and decoder, without a cache."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100, use_cache=False)

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = T5ForConditionalGeneration(config)

        def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any) -> Any:
            made = self.model(input_ids, attention_mask, decoder_input_ids, use_cache=False)
            return {"logits": made.logits}

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {**_tokens()(n, size), "decoder_input_ids": _rng().integers(2, 100, (n, size // 2))}

    dims = {"input_ids": ("batch", "length"), "attention_mask": ("batch", "length")}
    return Sample(Both(), feeds, {**dims, "decoder_input_ids": ("batch", "steps")})


@entry
def dinov2() -> Sample:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=7)
    return _vision(Dinov2Model(config), 28)


@entry
def deit() -> Sample:
    from transformers import DeiTConfig, DeiTForImageClassification

    return _vision(DeiTForImageClassification(DeiTConfig(**VISION, image_size=32, patch_size=8)))


@entry
def beit() -> Sample:
    from transformers import BeitConfig, BeitModel

    return _vision(BeitModel(BeitConfig(**VISION, image_size=32, patch_size=8, **_attention("eager"))))


@entry
def resnet_hf() -> Sample:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return _vision(ResNetForImageClassification(config))


@entry
def mobilevit() -> Sample:
    from transformers import MobileViTConfig, MobileViTModel

    config = MobileViTConfig(
        image_size=64, patch_size=2, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 32]
    )
    return _vision(_lively(MobileViTModel(config), 64), 64)


@entry
def wav2vec2() -> Sample:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        **VISION, conv_dim=[16, 16], conv_stride=[5, 2], conv_kernel=[10, 3], num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Sample(
        _first(Wav2Vec2Model(config), "input_values"),
        lambda n, size: {"input_values": _rng().standard_normal((n, 40 * size)).astype(np.float32)},
        {"input_values": ("batch", "samples")},
    )


@entry
def conv_lstm() -> Sample:
    """A text recogniser: convolutions, a bidirectional LSTM over the columns, a softmax per column."""
    import torch
    from torch import nn

    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), nn.MaxPool2d((2, 1)))
            self.rnn = nn.LSTM(64, 12, num_layers=2, bidirectional=True)
            self.head = nn.Linear(24, 20)

        def forward(self, x: Any) -> Any:
            columns = self.body(x).flatten(1, 2).permute(2, 0, 1)
            return torch.softmax(self.head(self.rnn(columns)[0]), -1)

    return Sample(
        Recogniser(),
        lambda n, size: {"x": _rng().standard_normal((n, 3, 32, 4 * size)).astype(np.float32)},
        {"x": ("batch", None, None, "width")},
    )
