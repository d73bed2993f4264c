"""What models of transformers are called with by default, and that they run so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mconv.proof.feeds import InputSpec
from mconv.proof.torch_runner import TorchRunner
from mconv.torch.exporting import named_leaves
from mconv.torch.sources import open_source
from mconv.verbs import torch_inputs

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

SPEECH = {
    **VISION, "conv_dim": [16], "conv_stride": [5], "conv_kernel": [10], "num_feat_extract_layers": 1,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
SERIES = {"context_length": 12, "prediction_length": 4, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
TYPES = "token_type_ids:int64[batch,sequence]"
PAGE = {**SMALL, "max_position_embeddings": 40}
PICTURE = {**VISION, "image_size": 32, "patch_size": 8}
MODELS.update(
    {
        # corners of boxes index tables, and so do the distances between them
        "layoutlm": (
            lambda: T.LayoutLMModel(T.LayoutLMConfig(**PAGE)),
            (*TOKENS, TYPES, "bbox:int64[batch,sequence,4]"),
        ),
        "layoutlmv3": (
            lambda: T.LayoutLMv3Model(
                T.LayoutLMv3Config(**PAGE, input_size=32, patch_size=8, coordinate_size=6, shape_size=4)
            ),
            (*TOKENS, TYPES, "bbox:int64[batch,sequence,4]", "pixel_values:float32[batch,3,32,32]"),
        ),
        # the size is the encoder's
        "trocr": (
            lambda: T.VisionEncoderDecoderModel(
                T.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
                    T.ViTConfig(**{**PICTURE, "image_size": (32, 48)}),
                    T.TrOCRConfig(
                        vocab_size=50, d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32
                    ),
                )
            ),
            ("pixel_values:float32[batch,3,32,48]", "decoder_input_ids:int64[batch,decoder_sequence]"),
        ),
        "videomae": (
            lambda: T.VideoMAEModel(T.VideoMAEConfig(**PICTURE, num_frames=4)),
            ("pixel_values:float32[batch,4,3,32,32]",),
        ),
        # as many images as texts, which only a run shows
        "flava": (
            lambda: T.FlavaModel(
                T.FlavaConfig(text_config=SMALL, image_config=PICTURE, multimodal_config=VISION, projection_dim=32)
            ),
            (*TOKENS, "pixel_values:float32[batch,3,32,32]"),
        ),
        "ast": (
            lambda: T.ASTModel(
                T.ASTConfig(**VISION, max_length=32, num_mel_bins=16, patch_size=8, time_stride=8, frequency_stride=8)
            ),
            ("input_values:float32[batch,32,16]",),
        ),
        "dac": (
            lambda: T.DacModel(
                T.DacConfig(
                    encoder_hidden_size=8, downsampling_ratios=[2, 4], decoder_hidden_size=32, n_codebooks=2,
                    codebook_size=16, codebook_dim=4,
                )
            ),
            ("input_values:float32[batch,1,samples]",),
        ),
        "wav2vec2_bert": (
            lambda: T.Wav2Vec2BertModel(
                T.Wav2Vec2BertConfig(**VISION, feature_projection_input_dim=16, conv_depthwise_kernel_size=3)
            ),
            ("input_features:float32[batch,frames,16]",),
        ),
        "speech_encoder_decoder": (
            lambda: T.SpeechEncoderDecoderModel(
                T.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(T.Wav2Vec2Config(**SPEECH), T.BertConfig(**SMALL))
            ),
            ("input_values:float32[batch,samples]", "decoder_input_ids:int64[batch,decoder_sequence]"),
        ),
        "patchtst": (
            lambda: T.PatchTSTForPrediction(
                T.PatchTSTConfig(num_input_channels=3, context_length=32, patch_length=8, patch_stride=8, d_model=16)
            ),
            ("past_values:float32[batch,32,3]",),
        ),
        "informer": (
            lambda: T.InformerModel(T.InformerConfig(**SERIES, lags_sequence=[1, 2], num_time_features=2)),
            (
                "past_values:float32[batch,14]", "past_time_features:float32[batch,14,2]",
                "past_observed_mask:float32[batch,14]", "future_values:float32[batch,4]",
                "future_time_features:float32[batch,4,2]",
            ),
        ),
        "decision_transformer": (
            lambda: T.DecisionTransformerModel(T.DecisionTransformerConfig(state_dim=5, act_dim=3, max_ep_len=40)),
            (
                "states:float32[batch,length,5]", "actions:float32[batch,length,3]",
                "returns_to_go:float32[batch,length,1]", "timesteps:int64[batch,length]",
                "attention_mask:int64[batch,length]",
            ),
        ),
    }
)  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_inputs(name: str, tmp_path: Path) -> None:
    """The same of a folder and of a module that a factory makes; both run so."""
    make, wanted = MODELS[name]
    model = make()
    model.save_pretrained(tmp_path)
    for source in (open_source(tmp_path), open_source(model)):
        assert not source.guessed
        plan = torch_inputs.declared(source, (), None)
        specs = [InputSpec(i.name, i.dtype, i.dims, i.limit) for i in plan.inputs]
        torch_inputs.fill(plan, source, TorchRunner(source, named_leaves, source.label, specs), None, None)
        assert plan.texts() == list(wanted) and len(plan.sets) == 2


def test_a_cache_is_no_output(tmp_path: Path) -> None:
    model = MODELS["gpt2"][0]()

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: Any) -> Any:
            return self.inner(input_ids)

    source = open_source(Wrapped())
    assert any("use_cache=False" in note for note in source.notes)
    answer = source({"input_ids": torch.ones(2, 5, dtype=torch.int64)})
    assert [n for n, _ in named_leaves(answer)] == ["logits"]


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
