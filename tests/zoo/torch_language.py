"""Language models beyond the plain transformer: mixtures of experts, state spaces, linear and sparse attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import SMALL, Sample, _rng, _text, _tokens, fields, register

LANGUAGE: dict[str, Any] = {}
entry = register(LANGUAGE)


def _of_one_length(model: Any, length: int = 16) -> Sample:
    """Of a model whose steps are a loop in Python, which a trace writes out: the length is fixed."""
    made = _text(model)
    made.dims = dict.fromkeys(made.dims, ("batch", None))
    made.sizes = ((2, length), (3, length))
    return made


GROUPED = {**SMALL, "num_key_value_heads": 2, "use_cache": False}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}


@entry
def mixtral() -> Sample:
    from transformers import MixtralConfig, MixtralModel

    return _text(MixtralModel(MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2)))


@entry
def qwen3_moe() -> Sample:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    return _text(Qwen3MoeForCausalLM(Qwen3MoeConfig(**GROUPED, **EXPERTS, num_experts=4, head_dim=8)))


@entry
def deepseek_v3() -> Sample:
    from transformers import DeepseekV3Config, DeepseekV3Model

    config = DeepseekV3Config(
        **{**GROUPED, "num_key_value_heads": 4}, **EXPERTS, n_routed_experts=4, n_group=2, topk_group=1, q_lora_rank=16,
        kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, first_k_dense_replace=1,
    )  # fmt: skip
    return _text(DeepseekV3Model(config))


@entry
def gpt_oss() -> Sample:
    from transformers import GptOssConfig, GptOssModel

    config = GptOssConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=8)
    return _text(GptOssModel(config))


@entry
def olmoe() -> Sample:
    from transformers import OlmoeConfig, OlmoeModel

    return _text(OlmoeModel(OlmoeConfig(**GROUPED, num_experts=4, num_experts_per_tok=2)))


@entry
def granite_moe() -> Sample:
    from transformers import GraniteMoeConfig, GraniteMoeModel

    return _text(GraniteMoeModel(GraniteMoeConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2)))


@entry
def mamba() -> Sample:
    from transformers import MambaConfig, MambaModel

    config = MambaConfig(vocab_size=100, hidden_size=32, state_size=8, num_hidden_layers=2, use_cache=False)
    return _of_one_length(MambaModel(config))


@entry
def mamba2() -> Sample:
    from transformers import Mamba2Config, Mamba2Model

    config = Mamba2Config(
        vocab_size=100, hidden_size=32, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8,
        num_hidden_layers=2, use_cache=False,
    )  # fmt: skip
    return _text(Mamba2Model(config))


@entry
def rwkv() -> Sample:
    from transformers import RwkvConfig, RwkvModel

    return _of_one_length(RwkvModel(RwkvConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, use_cache=False)))


@entry
def gemma3() -> Sample:
    from transformers import Gemma3TextConfig, Gemma3TextModel

    return _text(Gemma3TextModel(Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=8, pad_token_id=0)))


@entry
def phi3() -> Sample:
    from transformers import Phi3Config, Phi3Model

    return _text(Phi3Model(Phi3Config(**GROUPED, pad_token_id=0, eos_token_id=1, bos_token_id=1)))


@entry
def falcon() -> Sample:
    from transformers import FalconConfig, FalconModel

    return _text(FalconModel(FalconConfig(**SMALL, alibi=True, new_decoder_architecture=False, use_cache=False)))


@entry
def bloom() -> Sample:
    from transformers import BloomConfig, BloomModel

    return _text(BloomModel(BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=100, use_cache=False)))


@entry
def fnet() -> Sample:
    from transformers import FNetConfig, FNetModel

    model = FNetModel(FNetConfig(**{k: v for k, v in SMALL.items() if k != "num_attention_heads"}))
    return Sample(
        fields(model, ("input_ids", "token_type_ids"), "last_hidden_state"),
        lambda n, size: {k: v for k, v in _tokens(types=True)(n, size).items() if k != "attention_mask"},
        {"input_ids": ("batch", "length"), "token_type_ids": ("batch", "length")},
    )


@entry
def xlnet() -> Sample:
    from transformers import XLNetConfig, XLNetModel

    return _text(
        XLNetModel(XLNetConfig(vocab_size=100, d_model=32, n_layer=2, n_head=4, d_inner=64, use_mems_eval=False))
    )


@entry
def squeezebert() -> Sample:
    from transformers import SqueezeBertConfig, SqueezeBertModel

    return _text(SqueezeBertModel(SqueezeBertConfig(**SMALL, embedding_size=32)))


@entry
def roformer() -> Sample:
    from transformers import RoFormerConfig, RoFormerModel

    return _text(RoFormerModel(RoFormerConfig(**SMALL)))


@entry
def esm() -> Sample:
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(**SMALL, pad_token_id=1, mask_token_id=3, position_embedding_type="rotary", token_dropout=True)
    return _text(EsmModel(config))


@entry
def perceiver() -> Sample:
    from transformers import PerceiverConfig, PerceiverModel

    config = PerceiverConfig(
        num_latents=8, d_latents=32, d_model=16, num_blocks=1, num_self_attends_per_block=2,
        num_self_attention_heads=4, num_cross_attention_heads=4,
    )  # fmt: skip
    return Sample(
        fields(PerceiverModel(config), ("inputs",), "last_hidden_state"),
        lambda n, size: {"inputs": _rng().standard_normal((n, size, 16)).astype(np.float32)},
        {"inputs": ("batch", "length", None)},
    )


@entry
def layoutlm() -> Sample:
    from transformers import LayoutLMConfig, LayoutLMModel

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        low = _rng().integers(0, 500, (n, size, 2))
        return {**_tokens()(n, size), "bbox": np.concatenate([low, low + 100], -1)}

    names = ("input_ids", "attention_mask", "bbox")
    dims = {"input_ids": ("batch", "length"), "attention_mask": ("batch", "length"), "bbox": ("batch", "length", None)}
    return Sample(fields(LayoutLMModel(LayoutLMConfig(**SMALL)), names, "last_hidden_state"), feeds, dims)


@entry
def convbert() -> Sample:
    from transformers import ConvBertConfig, ConvBertModel

    return _text(ConvBertModel(ConvBertConfig(**SMALL, embedding_size=32, conv_kernel_size=3)), types=True)


@entry
def deberta() -> Sample:
    from transformers import DebertaConfig, DebertaModel

    config = DebertaConfig(**SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16)
    return _text(DebertaModel(config))


@entry
def umt5_encoder() -> Sample:
    """Gated GELU as FLAN-T5 has it, and position biases of its own in each layer."""
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100)
    return _text(UMT5EncoderModel(config))


@entry
def switch_encoder() -> Sample:
    """A mixture of experts by a loop over those that have a token, as the ones of before grouped products are."""
    from transformers import SwitchTransformersConfig, SwitchTransformersEncoderModel

    config = SwitchTransformersConfig(
        d_model=32, d_kv=8, d_ff=64, num_layers=2, num_sparse_encoder_layers=1, num_heads=4, vocab_size=100,
        num_experts=4, expert_capacity=32,
    )  # fmt: skip
    return _text(SwitchTransformersEncoderModel(config))
