"""PyTorch models, each with inputs and the names of its dynamic dimensions.

Every entry of :data:`ZOO` is a function without arguments that gives a :class:`Sample`. Weights are random but the
same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Sample:
    """A model ready to be exported.

    Attributes:
        model: a torch.nn.Module in eval mode.
        feeds: function of (batch, size) giving the inputs by name, as numpy arrays; size is a length or half a side.
        dims: input → names of its dimensions, None for a fixed one.
        sizes: two (batch, size) pairs to compare at.
    """

    model: Any
    feeds: Callable[[int, int], dict[str, np.ndarray]]
    dims: dict[str, tuple[Any, ...]]
    sizes: tuple[tuple[int, int], tuple[int, int]] = ((2, 16), (3, 24))


Maker = Callable[[], Sample]
ZOO: dict[str, Maker] = {}


def register(models: dict[str, Maker]) -> Callable[[Maker], Maker]:
    """A decorator that puts a function into *models*, under its name, with weights that are the same each time."""

    def entry(function: Maker) -> Maker:
        def seeded() -> Sample:
            import torch

            torch.manual_seed(0)
            sample = function()
            sample.model.eval()
            return sample

        models[function.__name__] = seeded
        return seeded

    return entry


entry = register(ZOO)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _rows(width: int) -> Callable[[int, int], dict[str, np.ndarray]]:
    return lambda n, size: {"x": _rng().standard_normal((n, width)).astype(np.float32)}


def _images(channels: int = 3, factor: int = 4) -> Callable[[int, int], dict[str, np.ndarray]]:
    return lambda n, size: {"x": _rng().standard_normal((n, channels, factor * size, factor * size)).astype(np.float32)}


def _fixed_images(side: int, name: str = "x") -> Callable[[int, int], dict[str, np.ndarray]]:
    return lambda n, size: {name: _rng().standard_normal((n, 3, side, side)).astype(np.float32)}


def _sequences(width: int) -> Callable[[int, int], dict[str, np.ndarray]]:
    return lambda n, size: {"x": _rng().standard_normal((n, size, width)).astype(np.float32)}


def _tokens(vocabulary: int = 100, *, types: bool = False) -> Callable[[int, int], dict[str, np.ndarray]]:
    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        mask = np.ones((n, size), np.int64)
        mask[-1, size // 2 :] = 0  # padding, so that a lost mask shows
        made = {"input_ids": _rng().integers(2, vocabulary, (n, size)), "attention_mask": mask}
        if types:
            made["token_type_ids"] = _rng().integers(0, 2, (n, size))
        return made

    return feeds


BATCH = {"x": ("batch", None)}
IMAGE = {"x": ("batch", None, "height", "width")}
SEQUENCE = {"x": ("batch", "length", None)}
FIXED_IMAGE = {"x": ("batch", None, None, None)}


def _token_dims(*names: str) -> dict[str, tuple[Any, ...]]:
    return dict.fromkeys(("input_ids", "attention_mask", *names), ("batch", "length"))


@entry
def mlp() -> Sample:
    from torch import nn

    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 4), nn.Softmax(-1))
    return Sample(model, _rows(8), BATCH)


def _conv_bn(i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1, act: Any = None) -> Any:
    from torch import nn

    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    layers[1].running_mean.normal_(0, 0.1)
    layers[1].running_var.uniform_(0.8, 1.2)
    return nn.Sequential(*layers, *([act or nn.ReLU()] if act is not False else []))


def _resnet(blocks: tuple[int, ...], bottleneck: bool) -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, i: int, width: int, stride: int):
            super().__init__()
            o = width * 4 if bottleneck else width
            if bottleneck:
                body = [_conv_bn(i, width, 1), _conv_bn(width, width, 3, stride), _conv_bn(width, o, 1, act=False)]
            else:
                body = [_conv_bn(i, width, 3, stride), _conv_bn(width, o, 3, act=False)]
            self.body = nn.Sequential(*body)
            self.skip = nn.Identity() if i == o and stride == 1 else _conv_bn(i, o, 1, stride, act=False)
            self.out = o

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.skip(x))

    layers: list[Any] = [_conv_bn(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 16
    for stage, count in enumerate(blocks):
        for i in range(count):
            block = Block(channels, 16 * 2**stage, 2 if i == 0 and stage else 1)
            layers.append(block)
            channels = block.out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


@entry
def resnet18() -> Sample:
    return Sample(_resnet((2, 2, 2, 2), False), _images(), IMAGE)


@entry
def resnet50() -> Sample:
    return Sample(_resnet((3, 4, 6, 3), True), _images(), IMAGE)


@entry
def mobilenet_v2() -> Sample:
    from torch import nn

    class Inverted(nn.Module):
        def __init__(self, i: int, o: int, stride: int):
            super().__init__()
            self.body = nn.Sequential(
                _conv_bn(i, 4 * i, 1, act=nn.ReLU6()),
                _conv_bn(4 * i, 4 * i, 3, stride, 4 * i, nn.ReLU6()),
                _conv_bn(4 * i, o, 1, act=False),
            )
            self.skip = i == o and stride == 1

        def forward(self, x: Any) -> Any:
            return x + self.body(x) if self.skip else self.body(x)

    model = nn.Sequential(
        _conv_bn(3, 8, 3, 2, act=nn.ReLU6()),
        Inverted(8, 8, 1),
        Inverted(8, 16, 2),
        Inverted(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    return Sample(model, _images(), IMAGE)


@entry
def mobilenet_v3() -> Sample:
    import torch
    from torch import nn

    class SqueezeExcite(nn.Module):
        def __init__(self, c: int):
            super().__init__()
            self.fc = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c // 4, 1), nn.ReLU(), nn.Conv2d(c // 4, c, 1)
            )

        def forward(self, x: Any) -> Any:
            return x * torch.nn.functional.hardsigmoid(self.fc(x))

    model = nn.Sequential(
        _conv_bn(3, 16, 3, 2, act=nn.Hardswish()),
        _conv_bn(16, 16, 3, 1, 16, nn.Hardswish()),
        SqueezeExcite(16),
        _conv_bn(16, 24, 5, 2, act=nn.Hardswish()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 32),
        nn.Hardswish(),
        nn.Linear(32, 10),
    )
    return Sample(model, _images(), IMAGE)


@entry
def densenet() -> Sample:
    import torch
    from torch import nn

    class Dense(nn.Module):
        def __init__(self, i: int, growth: int):
            super().__init__()
            self.body = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, growth, 3, 1, 1, bias=False))

        def forward(self, x: Any) -> Any:
            return torch.cat([x, self.body(x)], 1)

    model = nn.Sequential(
        _conv_bn(3, 16, 3, 2),
        Dense(16, 8),
        Dense(24, 8),
        nn.Conv2d(32, 16, 1),
        nn.AvgPool2d(2),
        Dense(16, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    return Sample(model, _images(), IMAGE)


@entry
def unet() -> Sample:
    import torch
    from torch import nn
    from torch.nn import functional

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.mid = _conv_bn(3, 8), _conv_bn(8, 16), _conv_bn(16, 16)
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ConvTranspose2d(16, 16, 2, 2)
            self.merge, self.last = _conv_bn(32, 8), nn.Conv2d(16, 2, 1)

        def forward(self, x: Any) -> Any:
            a = self.down1(x)
            b = self.down2(self.pool(a))
            c = self.merge(torch.cat([self.up(self.mid(self.pool(b))), b], 1))
            d = functional.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
            return self.last(torch.cat([d, a], 1))

    return Sample(UNet(), _images(), IMAGE)


@entry
def lstm() -> Sample:
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0])

    return Sample(Tagger(), _sequences(6), SEQUENCE)


@entry
def gru() -> Sample:
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(6, 8, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0].mean(1))

    return Sample(Classifier(), _sequences(6), SEQUENCE)


@entry
def transformer_encoder() -> Sample:
    from torch import nn

    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    return Sample(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), _sequences(16), SEQUENCE)


@entry
def multihead_attention() -> Sample:
    from torch import nn

    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x)

    return Sample(SelfAttention(), _sequences(16), SEQUENCE)


# transformers: random weights of a small configuration ---------------------------------------------------------------

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
}


def _first(model: Any, *names: str) -> Any:
    """The model with its inputs by position and its first result alone."""
    import torch

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

    body = "\n".join(
        [
            f"def forward(self, {', '.join(names)}):",
            f"    return self.model({', '.join(f'{n}={n}' for n in names)}, return_dict=False)[0]",
        ]
    )
    scope: dict[str, Any] = {}
    exec(body, scope)
    First.forward = scope["forward"]  # type: ignore[method-assign]
    return First()


def fields(model: Any, names: Sequence[str], *outputs: str, **fixed: Any) -> Any:
    """The model with its inputs by position, *fixed* arguments, and the fields *outputs* of what it returns."""
    import torch

    class Fields(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def chosen(self, **inputs: Any) -> dict[str, Any]:
            made = self.model(**inputs, **fixed)
            return {name: getattr(made, name) for name in outputs}

    body = f"def forward(self, {', '.join(names)}):\n    return self.chosen({', '.join(f'{n}={n}' for n in names)})"
    scope: dict[str, Any] = {}
    exec(body, scope)
    Fields.forward = scope["forward"]  # type: ignore[method-assign]
    return Fields()


def _text(model: Any, **options: Any) -> Sample:
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if options.get("types") else [])
    extra = names[2:]
    return Sample(_first(model, *names), _tokens(**options), _token_dims(*extra))


def _attention(implementation: str) -> dict[str, str]:
    return {"attn_implementation": implementation}


@entry
def bert() -> Sample:
    from transformers import BertConfig, BertForSequenceClassification

    return _text(BertForSequenceClassification(BertConfig(**SMALL, **_attention("eager"))), types=True)


@entry
def bert_sdpa() -> Sample:
    from transformers import BertConfig, BertModel

    return _text(BertModel(BertConfig(**SMALL, **_attention("sdpa"))), types=True)


@entry
def roberta() -> Sample:
    from transformers import RobertaConfig, RobertaModel

    return _text(RobertaModel(RobertaConfig(**SMALL, max_position_embeddings=64, **_attention("eager"))))


@entry
def distilbert() -> Sample:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, vocab_size=100, **_attention("sdpa"))
    return _text(DistilBertModel(config))


@entry
def electra() -> Sample:
    from transformers import ElectraConfig, ElectraModel

    return _text(ElectraModel(ElectraConfig(**SMALL, embedding_size=16, **_attention("eager"))), types=True)


@entry
def deberta_v2() -> Sample:
    from transformers import DebertaV2Config, DebertaV2Model

    config = DebertaV2Config(**SMALL, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"])
    return _text(DebertaV2Model(config))


@entry
def gpt2() -> Sample:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100, use_cache=False, **_attention("eager"))
    return _text(GPT2LMHeadModel(config))


@entry
def gpt2_sdpa() -> Sample:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100, use_cache=False, **_attention("sdpa"))
    return _text(GPT2LMHeadModel(config))


@entry
def opt() -> Sample:
    from transformers import OPTConfig, OPTModel

    config = OPTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, vocab_size=100, word_embed_proj_dim=32,
        use_cache=False, **_attention("eager"),
    )  # fmt: skip
    return _text(OPTModel(config))


@entry
def llama() -> Sample:
    from transformers import LlamaConfig, LlamaModel

    return _text(LlamaModel(LlamaConfig(**SMALL, num_key_value_heads=2, use_cache=False, **_attention("eager"))))


@entry
def t5_encoder() -> Sample:
    from transformers import T5Config, T5EncoderModel

    return _text(T5EncoderModel(T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100)))


def _vision(model: Any, side: int = 32) -> Sample:
    return Sample(
        _first(model, "pixel_values"),
        _fixed_images(side, "pixel_values"),
        {"pixel_values": ("batch", None, None, None)},
    )


VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


@entry
def vit() -> Sample:
    from transformers import ViTConfig, ViTForImageClassification

    return _vision(ViTForImageClassification(ViTConfig(**VISION, image_size=32, patch_size=8, **_attention("eager"))))


@entry
def vit_sdpa() -> Sample:
    from transformers import ViTConfig, ViTModel

    return _vision(ViTModel(ViTConfig(**VISION, image_size=32, patch_size=8, **_attention("sdpa"))))


@entry
def convnext() -> Sample:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], image_size=64)
    return _vision(ConvNextForImageClassification(config), 64)


@entry
def segformer() -> Sample:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16, num_attention_heads=[1, 2, 3, 4]
    )
    return _vision(SegformerForSemanticSegmentation(config), 64)


@entry
def swin() -> Sample:
    from transformers import SwinConfig, SwinModel

    config = SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
    return _vision(SwinModel(config))


@entry
def clip_text() -> Sample:
    from transformers import CLIPTextConfig, CLIPTextModel

    return _text(CLIPTextModel(CLIPTextConfig(**SMALL, eos_token_id=99, **_attention("eager"))))


@entry
def clip_vision() -> Sample:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return _vision(CLIPVisionModel(CLIPVisionConfig(**VISION, image_size=32, patch_size=8, **_attention("sdpa"))))


@entry
def whisper_encoder() -> Sample:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=16,
        max_source_positions=32, **_attention("eager"),
    )  # fmt: skip

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"input_features": _rng().standard_normal((n, 16, 64)).astype(np.float32)}

    return Sample(_first(WhisperEncoder(config), "input_features"), feeds, {"input_features": ("batch", None, None)})
