"""Language models beyond the plain transformer: mixtures of experts, state spaces, linear and sparse attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import SMALL, Sample, _rng, _text, _tokens, fields, register

LANGUAGE: dict[str, Any] = {}
entry = register(LANGUAGE)

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
def switch_encoder() -> Sample:
    from transformers import SwitchTransformersConfig
    from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersEncoderModel

    config = SwitchTransformersConfig(
        d_model=32, d_kv=8, d_ff=64, num_layers=2, num_sparse_encoder_layers=1, num_heads=4, vocab_size=100,
        num_experts=4,
    )  # fmt: skip
    return _text(SwitchTransformersEncoderModel(config))


@entry
def mamba() -> Sample:
    from transformers import MambaConfig, MambaModel

    config = MambaConfig(vocab_size=100, hidden_size=32, state_size=8, num_hidden_layers=2, use_cache=False)
    return _text(MambaModel(config))


@entry
def mamba2() -> Sample:
    from transformers import Mamba2Config, Mamba2Model

    config = Mamba2Config(
        vocab_size=100, hidden_size=32, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8,
        num_hidden_layers=2, use_cache=False,
    )  # fmt: skip
    return _text(Mamba2Model(config))


@entry
def falcon_mamba() -> Sample:
    from transformers import FalconMambaConfig, FalconMambaModel

    config = FalconMambaConfig(vocab_size=100, hidden_size=32, state_size=8, num_hidden_layers=2, use_cache=False)
    return _text(FalconMambaModel(config))


@entry
def rwkv() -> Sample:
    from transformers import RwkvConfig, RwkvModel

    return _text(RwkvModel(RwkvConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, use_cache=False)))


@entry
def recurrent_gemma() -> Sample:
    from transformers import RecurrentGemmaConfig, RecurrentGemmaModel

    config = RecurrentGemmaConfig(
        **{**SMALL, "num_hidden_layers": 3}, num_key_value_heads=1, lru_width=32, attention_window_size=8,
        use_cache=False,
    )  # fmt: skip
    return _text(RecurrentGemmaModel(config))


@entry
def qwen3_next() -> Sample:
    from transformers import Qwen3NextConfig, Qwen3NextModel

    config = Qwen3NextConfig(
        **{**GROUPED, "num_hidden_layers": 4}, **EXPERTS, num_experts=4, head_dim=8, linear_num_value_heads=4,
        linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, shared_expert_intermediate_size=16,
    )  # fmt: skip
    return _text(Qwen3NextModel(config))


@entry
def jamba() -> Sample:
    from transformers import JambaConfig, JambaModel

    config = JambaConfig(
        **GROUPED, num_experts=4, num_experts_per_tok=2, mamba_d_state=8, attn_layer_period=2, attn_layer_offset=1,
        expert_layer_period=2, expert_layer_offset=1, use_mamba_kernels=False,
    )  # fmt: skip
    return _text(JambaModel(config))


@entry
def zamba2() -> Sample:
    from transformers import Zamba2Config, Zamba2Model

    config = Zamba2Config(
        **{**GROUPED, "num_hidden_layers": 3}, mamba_d_state=8, mamba_ngroups=1, n_mamba_heads=8, mamba_headdim=8,
        chunk_size=8, layers_block_type=["mamba", "hybrid", "mamba"], use_mem_rope=True,
    )  # fmt: skip
    return _text(Zamba2Model(config))


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
def nystromformer() -> Sample:
    from transformers import NystromformerConfig, NystromformerModel

    config = NystromformerConfig(**SMALL, num_landmarks=4, segment_means_seq_len=16, conv_kernel_size=5)
    return _text(NystromformerModel(config))


@entry
def longformer() -> Sample:
    from transformers import LongformerConfig, LongformerModel

    return _text(LongformerModel(LongformerConfig(**SMALL, attention_window=[4, 4], pad_token_id=0)))


@entry
def big_bird() -> Sample:
    from transformers import BigBirdConfig, BigBirdModel

    return _text(BigBirdModel(BigBirdConfig(**SMALL, attention_type="original_full")))


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
def funnel() -> Sample:
    from transformers import FunnelConfig, FunnelModel

    config = FunnelConfig(
        vocab_size=100, block_sizes=[1, 1], num_decoder_layers=1, d_model=32, n_head=4, d_head=8, d_inner=64
    )
    return _text(FunnelModel(config))


@entry
def xlnet() -> Sample:
    from transformers import XLNetConfig, XLNetModel

    return _text(
        XLNetModel(XLNetConfig(vocab_size=100, d_model=32, n_layer=2, n_head=4, d_inner=64, use_mems_eval=False))
    )


@entry
def convbert() -> Sample:
    from transformers import ConvBertConfig, ConvBertModel

    return _text(ConvBertModel(ConvBertConfig(**SMALL, embedding_size=32, conv_kernel_size=3)), types=True)


@entry
def squeezebert() -> Sample:
    from transformers import SqueezeBertConfig, SqueezeBertModel

    return _text(SqueezeBertModel(SqueezeBertConfig(**SMALL, embedding_size=32)))


@entry
def mobilebert() -> Sample:
    from transformers import MobileBertConfig, MobileBertModel

    config = MobileBertConfig(**SMALL, intra_bottleneck_size=32, embedding_size=32)
    return _text(MobileBertModel(config))


@entry
def roformer() -> Sample:
    from transformers import RoFormerConfig, RoFormerModel

    return _text(RoFormerModel(RoFormerConfig(**SMALL)))


@entry
def canine() -> Sample:
    from transformers import CanineConfig, CanineModel

    config = CanineConfig(
        **{k: v for k, v in SMALL.items() if k != "vocab_size"}, local_transformer_stride=4, downsampling_rate=4,
        num_hash_buckets=64,
    )  # fmt: skip
    return _text(CanineModel(config), types=True)


@entry
def esm() -> Sample:
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(**SMALL, pad_token_id=1, mask_token_id=3, position_embedding_type="rotary", token_dropout=True)
    return _text(EsmModel(config))


@entry
def perceiver() -> Sample:
    import torch
    from transformers import PerceiverConfig, PerceiverModel

    config = PerceiverConfig(
        num_latents=8, d_latents=32, d_model=16, num_blocks=1, num_self_attends_per_block=2,
        num_self_attention_heads=4, num_cross_attention_heads=4,
    )  # fmt: skip
    assert torch
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
def deberta() -> Sample:
    from transformers import DebertaConfig, DebertaModel

    config = DebertaConfig(**SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16)
    return _text(DebertaModel(config))


@entry
def xlstm() -> Sample:
    from transformers import xLSTMConfig, xLSTMModel

    config = xLSTMConfig(
        vocab_size=100, hidden_size=32, num_blocks=2, num_heads=4, chunk_size=8, use_cache=False,
        mode="inference", chunkwise_kernel="chunkwise--native_autograd", sequence_kernel="native_sequence__native",
        step_kernel="native", ffn_round_up_to_multiple_of=8, mlstm_round_up_to_multiple_of=8,
    )  # fmt: skip
    return _text(xLSTMModel(config))
