"""Model families of ``transformers``, as its own users make them: a small configuration, random weights, nothing wrapped.

Every entry of :data:`FAMILIES` is data; ``build`` makes the model. What they are called with, mconv finds by itself, but
for those whose ``inputs`` say it. Chosen are families that were once refused, wrong or took too long, and their like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

# what configurations call their sizes; each takes those that it has
_SIZES: dict[str, Any] = {
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "decoder_hidden_size": 32,
    "num_hidden_layers": 2, "n_layer": 2, "num_layers": 2, "n_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_decoder_layers": 2, "num_encoder_layers": 2, "num_attention_heads": 4, "n_head": 4, "n_heads": 4,
    "num_heads": 4, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "d_kv": 8, "intermediate_size": 64, "ffn_dim": 64, "d_ff": 64, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "n_inner": 64, "vocab_size": 120, "type_vocab_size": 2, "image_size": 64, "patch_size": 8,
    "max_position_embeddings": 64, "n_positions": 64, "max_source_positions": 64, "max_target_positions": 64,
    "projection_dim": 16, "num_queries": 10, "num_experts": 4, "num_local_experts": 4, "moe_intermediate_size": 16,
    "num_experts_per_tok": 2, "sliding_window": 8, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, "layerdrop": 0.0,
    "use_cache": False,
}  # fmt: skip
_TOKENS = {
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2, "unk_token_id": 3,
    "sep_token_id": 4, "mask_token_id": 5, "cls_token_id": 6, "forced_eos_token_id": 2,
}  # fmt: skip
_RESNET = {
    "depths": [1, 1, 1, 1], "hidden_sizes": [16, 16, 32, 32], "embedding_size": 16, "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}  # fmt: skip
_SWIN = {
    "model_type": "swin", "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4,
    "image_size": 64, "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip
_HGNET = {
    "model_type": "hgnet_v2", "hidden_sizes": [16, 32, 32, 64], "stage_in_channels": [8, 16, 32, 32],
    "stage_mid_channels": [8, 8, 8, 8], "stage_out_channels": [16, 32, 32, 64], "stage_num_blocks": [1, 1, 1, 1],
    "stem_channels": [3, 8, 8], "out_features": ["stage2", "stage3", "stage4"],
}  # fmt: skip
_HYBRID = {
    "encoder_hidden_dim": 32, "feat_strides": [8, 16, 32], "encoder_ffn_dim": 64, "decoder_in_channels": [32, 32, 32],
    "num_denoising": 0,
}  # fmt: skip


# of one length or size, with the batch open: torch's arithmetic of these families' open sizes takes minutes
_TEXT = ("input_ids:int64[batch,16]", "attention_mask:int64[batch,16]")
_BOTH = (*_TEXT, "decoder_input_ids:int64[batch,8]")
_PICTURE = ("pixel_values:float32[batch,3,64,64]",)


@dataclass(frozen=True)
class Family:
    """A model of ``transformers`` as data.

    Attributes:
        config: ``model_type`` of its configuration.
        options: of the configuration, beside small sizes.
        model: the class; None for the one that ``AutoModel`` takes.
        inputs: what it is called with, as ``--input`` says it; empty where mconv finds it.
        deterministic: random numbers in ``forward`` are replaced by their means (``--deterministic``).
        larger: parts of the names of weights that are drawn anew from a normal distribution: as they are initialised,
            all scores are equal, so that which of them a detector takes is open.
        tolerance: as ``--tolerance``; for a model whose own float32 is farther from its float64 than usual.
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    model: Optional[str] = None
    inputs: tuple[str, ...] = ()
    deterministic: bool = False
    larger: tuple[str, ...] = ()
    tolerance: Optional[float] = None

    def build(self) -> Any:
        """The model in evaluation mode; its weights are the same each time."""
        import torch
        import transformers
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        config = _small(CONFIG_MAPPING[self.config], self.options)
        torch.manual_seed(0)
        made = getattr(transformers, self.model)(config) if self.model else transformers.AutoModel.from_config(config)
        for name, weight in made.named_parameters():
            if any(part in name for part in self.larger):
                torch.nn.init.normal_(weight, 0, 0.0 if name.endswith("bias") else 0.5)
        return made.eval()


def _small(kind: Any, options: Mapping[str, Any]) -> Any:
    """A configuration of a few dimensions, its parts as well."""
    options = dict(options)
    usual = kind()
    known = usual.to_dict()
    chosen = {k: v for k, v in _SIZES.items() if isinstance(known.get(k), (int, float))}
    if "vocab_size" in known:
        chosen.update({k: v for k, v in _TOKENS.items() if isinstance(known.get(k), int)})
    for name, part in getattr(kind, "sub_configs", {}).items():
        inner = getattr(usual, name, None)
        if name.endswith("backbone_config") or (inner is None and name not in options):
            continue
        chosen[name] = _small(type(inner) if inner is not None else part, options.pop(name, {}))
    return kind(**{**chosen, **options})


FAMILIES: dict[str, Family] = {
    # attention over a part of the text
    "longformer": Family("longformer", {"attention_window": 8, "max_position_embeddings": 70, "num_hidden_layers": 1}),
    "led": Family("led", {"max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64,
                          "attention_window": 8, "encoder_layers": 1, "decoder_layers": 1}),
    "longt5": Family("longt5", {"local_radius": 4, "global_block_size": 4, "encoder_attention_type": "local"}),
    "longt5_global": Family("longt5", {"local_radius": 4, "global_block_size": 4,
                                       "encoder_attention_type": "transient-global"}, inputs=_BOTH),
    "pegasus_x": Family("pegasus_x", {"block_size": 8, "num_global_tokens": 4}, inputs=_BOTH),
    "nystromformer": Family("nystromformer", {"num_landmarks": 4, "segment_means_seq_len": 16,
                                              "max_position_embeddings": 62},
                            inputs=("input_ids:int64[batch,16]",)),
    "mra": Family("mra", {"block_per_row": 2}),
    "qwen3_next": Family("qwen3_next", {"layer_types": ["linear_attention", "full_attention"],
                                        "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
                                        "linear_value_head_dim": 8, "shared_expert_intermediate_size": 16}, inputs=_TEXT),
    "xlstm": Family("xlstm", {"num_blocks": 2}, inputs=("input_ids:int64[batch,16]",)),
    "minimax": Family("minimax", {"layer_types": ["linear_attention", "full_attention"], "block_size": 8}, inputs=_TEXT),
    "reformer": Family("reformer", {"attn_layers": ["local", "local"], "local_attn_chunk_length": 8,
                                    "axial_pos_shape": [4, 4], "axial_pos_embds_dim": [16, 16], "feed_forward_size": 64,
                                    "attention_head_size": 8, "is_decoder": False}, inputs=_TEXT),
    "jamba": Family("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
                              "expert_layer_offset": 1, "use_mamba_kernels": False, "mamba_dt_rank": 4,
                              "mamba_d_state": 4}, inputs=_TEXT),
    "recurrent_gemma": Family("recurrent_gemma", {"block_types": ["recurrent", "attention"], "lru_width": 32,
                                                  "attention_window_size": 8}, inputs=("input_ids:int64[batch,16]",)),
    "switch_transformers": Family("switch_transformers", {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1,
                                                          "d_kv": 8}, inputs=_BOTH),
    # text
    "canine": Family("canine", {"num_hash_buckets": 100, "local_transformer_stride": 16, "num_hash_functions": 4}),
    "fsmt": Family("fsmt", {"src_vocab_size": 120, "tgt_vocab_size": 120, "langs": ["en", "de"]}),
    "m2m_100": Family("m2m_100"),
    "xglm": Family("xglm", {"attention_heads": 4}),
    # pictures
    "vit_mae": Family("vit_mae", inputs=("pixel_values:float32[batch,3,64,64]", "noise:float32[batch,64]")),
    "seggpt": Family("seggpt", {"image_size": [64, 32], "patch_size": 16, "pretrain_image_size": 64,
                                "decoder_hidden_size": 16, "intermediate_hidden_state_indices": [0, 1], "mlp_dim": 64,
                                "merge_index": 0},
                     inputs=("pixel_values:float32[batch,3,32,32]", "prompt_pixel_values:float32[batch,3,32,32]",
                             "prompt_masks:float32[batch,3,32,32]")),
    "zoedepth": Family("zoedepth", {"neck_hidden_sizes": [8, 16, 16, 32], "fusion_hidden_size": 16,
                                    "bottleneck_features": 16, "num_attractors": [4, 2, 1, 1], "bin_embedding_dim": 8,
                                    "num_relative_features": 8,
                                    "bin_configurations": [{"n_bins": 8, "min_depth": 1e-3, "max_depth": 10.0,
                                                            "name": "nyu"}],
                                    "backbone_config": {"model_type": "beit", "hidden_size": 32, "num_hidden_layers": 4,
                                                        "num_attention_heads": 4, "intermediate_size": 64,
                                                        "image_size": 64, "patch_size": 16,
                                                        "reshape_hidden_states": False,
                                                        "out_features": ["stage1", "stage2", "stage3", "stage4"]}},
                       "ZoeDepthForDepthEstimation", inputs=_PICTURE),
    "upernet": Family("upernet", {"backbone_config": _SWIN, "hidden_size": 16, "auxiliary_in_channels": 64,
                                  "auxiliary_channels": 16, "pool_scales": [1, 2]}, "UperNetForSemanticSegmentation", inputs=_PICTURE),
    "mask2former": Family("mask2former", {"backbone_config": _SWIN, "hidden_dim": 32, "feature_size": 32,
                                          "mask_feature_size": 32, "encoder_feedforward_dim": 32, "dim_feedforward": 64},
                          "Mask2FormerForUniversalSegmentation", inputs=_PICTURE),
    "deformable_detr": Family("deformable_detr", {"backbone_config": {"model_type": "resnet", **_RESNET}},
                              "DeformableDetrForObjectDetection", tolerance=1e-4),
    "rt_detr": Family("rt_detr", {"backbone_config": {"model_type": "rt_detr_resnet", **_RESNET},
                                  "encoder_in_channels": [16, 32, 32], "decoder_n_points": 2, **_HYBRID},
                      "RTDetrForObjectDetection", larger=("score_head", "class_embed")),
    "rt_detr_v2": Family("rt_detr_v2", {"backbone_config": {"model_type": "rt_detr_resnet", **_RESNET},
                                        "encoder_in_channels": [16, 32, 32], "decoder_n_points": 2, **_HYBRID},
                         "RTDetrV2ForObjectDetection", larger=("score_head", "class_embed"), inputs=_PICTURE),
    "d_fine": Family("d_fine", {"backbone_config": _HGNET, "encoder_in_channels": [32, 32, 64],
                                "decoder_n_points": [2, 2, 2], **_HYBRID},
                     "DFineForObjectDetection", larger=("score_head", "class_embed"), inputs=_PICTURE),
    # sound and series
    "vits": Family("vits", {"spectrogram_bins": 17, "flow_size": 16, "ffn_dim": 32, "wavenet_layers": 1,
                            "upsample_initial_channel": 32, "upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8],
                            "prior_encoder_num_flows": 2, "duration_predictor_num_flows": 2,
                            "duration_predictor_filter_channels": 32}, deterministic=True, tolerance=1e-4),
    "encodec": Family("encodec", {"num_filters": 8, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16,
                                  "upsampling_ratios": [4, 2], "num_lstm_layers": 1}),
    "speech_to_text": Family("speech_to_text", {"num_mel_bins": 16, "conv_channels": 16, "input_feat_per_channel": 16,
                                                "max_source_positions": 200}),
    "informer": Family("informer", {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2],
                                    "num_time_features": 1, "distil": False}, deterministic=True),
    "informer_distilled": Family("informer", {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2],
                                              "num_time_features": 1}, deterministic=True),
    "timesfm": Family("timesfm", {"patch_length": 8, "horizon_length": 8, "context_length": 32},
                      inputs=("past_values:float32[batch,32]", "past_values_padding:int64[batch,32]",
                              "freq:int64[batch,1]")),
}  # fmt: skip
