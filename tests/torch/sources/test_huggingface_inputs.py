"""What models of transformers are called with by default, and that they run so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mconv.torch.sources import open_source
from mconv.verbs.torch_inputs import random_sets

torch = pytest.importorskip("torch")
T: Any = pytest.importorskip("transformers")
from tests.torch.nets import SMALL  # noqa: E402

VISION = {k: v for k, v in SMALL.items() if k != "vocab_size"}
WHISPER = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "num_mel_bins": 16,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_source_positions": 32,
    "vocab_size": 100, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2,
}  # fmt: skip
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 50}
TOKENS = ("input_ids:int64[batch,sequence]", "attention_mask:int64[batch,sequence]")
MODELS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "gpt2": (lambda: T.GPT2LMHeadModel(T.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50)), TOKENS),
    # one kind of token is no input
    "roberta": (
        lambda: T.RobertaModel(T.RobertaConfig(**SMALL, type_vocab_size=1, max_position_embeddings=40)),
        TOKENS,
    ),
    "t5": (
        lambda: T.T5ForConditionalGeneration(T.T5Config(**T5, decoder_start_token_id=0)),
        (*TOKENS, "decoder_input_ids:int64[batch,decoder_sequence]"),
    ),
    "vit": (
        lambda: T.ViTModel(T.ViTConfig(**VISION, image_size=32, patch_size=8)),
        ("pixel_values:float32[batch,3,32,32]",),
    ),
    "resnet": (
        lambda: T.ResNetModel(T.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_channels=1)),
        ("pixel_values:float32[batch,1,height,width]",),
    ),
    # as many texts and as many images as there are
    "clip": (
        lambda: T.CLIPModel(
            T.CLIPConfig(
                text_config={**SMALL, "eos_token_id": 99},
                vision_config={**VISION, "image_size": 32, "patch_size": 8},
                projection_dim=16,
            )
        ),
        (*TOKENS, "pixel_values:float32[images,3,32,32]"),
    ),
    "whisper": (
        lambda: T.WhisperForConditionalGeneration(T.WhisperConfig(**WHISPER)),
        ("input_features:float32[batch,16,64]", "decoder_input_ids:int64[batch,decoder_sequence]"),
    ),
    "wav2vec2": (
        lambda: T.Wav2Vec2Model(
            T.Wav2Vec2Config(
                **VISION, conv_dim=[16], conv_stride=[5], conv_kernel=[10], num_feat_extract_layers=1,
                num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
            )
        ),
        ("input_values:float32[batch,samples]",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_inputs(name: str, tmp_path: Path) -> None:
    make, wanted = MODELS[name]
    make().save_pretrained(tmp_path)
    source = open_source(tmp_path)
    assert [str(i) for i in source.inputs] == list(wanted) and not source.guessed
    sizes = random_sets(source.inputs, source.sizes)
    assert len(sizes) == 2
    for feed in sizes:
        source({n: torch.from_numpy(a) for n, a in feed.items()})


def test_the_preprocessor_knows_the_size(tmp_path: Path) -> None:
    MODELS["resnet"][0]().save_pretrained(tmp_path)
    settings = {"do_center_crop": True, "crop_size": {"height": 48, "width": 64}, "size": {"shortest_edge": 96}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert [str(i) for i in open_source(tmp_path).inputs] == ["pixel_values:float32[batch,1,48,64]"]


def test_the_tokenizer_knows_the_inputs(tmp_path: Path) -> None:
    T.BertModel(T.BertConfig(**SMALL)).save_pretrained(tmp_path)
    settings = {"model_input_names": ["input_ids", "attention_mask"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert [str(i) for i in open_source(tmp_path).inputs] == list(TOKENS)
