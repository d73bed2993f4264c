"""What a model of transformers is called with: from its ``forward``, its configuration and its preprocessor's."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from mconv.errors import MconvError
from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.program.inputs import Dim
from mconv.torch.sources import forms
from mconv.torch.sources.source import Source

_TEXT = ("batch", "sequence")


def describe(source: Source, folder: Path) -> None:
    """Fill in the inputs of *source*, whose module is a model of transformers."""
    model = source.module
    parameters = inspect.signature(model.forward).parameters
    found: list[Input] = []
    main = getattr(model, "main_input_name", "input_ids")
    config = model.config
    if "pixel_values" in parameters:
        pixels = _pixels(model, folder)
        if hasattr(model, "get_text_features") and hasattr(model, "get_image_features"):
            # texts are compared with images, as many as there are of each
            pixels = replace(pixels, dims=("images", *pixels.dims[1:]))
            source.sizes["images"] = (3, 4)
        found.append(pixels)
    if main == "input_values" or (main not in parameters and "input_values" in parameters):
        found.append(Input("input_values", DType.FP32, ("batch", "samples")))
        source.sizes["samples"] = (1600, 2320)
    if main == "input_features":
        found.append(_features(config))
    heard = main in ("input_values", "input_features")
    if "input_ids" in parameters and not heard and not _is_vision_only(model):
        found[:0] = _tokens(model, parameters, folder)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        limit = _vocabulary(config)
        found.append(Input("decoder_input_ids", DType.INT64, ("batch", "decoder_sequence"), limit))
        source.sizes["decoder_sequence"] = (5, 8)
    source.inputs = found
    longest = _positions(config)
    if longest is not None and longest < 20:  # of tests; the usual sizes are 12 and 19
        source.sizes["sequence"] = (max(2, longest // 2), longest)


def _is_vision_only(model: Any) -> bool:
    return getattr(model, "main_input_name", "") == "pixel_values" and not hasattr(model.config, "text_config")


def _tokens(model: Any, parameters: Any, folder: Path) -> list[Input]:
    config = model.config
    limit = _vocabulary(config)
    tokenizer = _optional(folder / "tokenizer_config.json").get("model_input_names")
    made = [Input("input_ids", DType.INT64, _TEXT, limit)]
    if "attention_mask" in parameters:
        made.append(Input("attention_mask", DType.INT64, _TEXT))
    types = int(getattr(config, "type_vocab_size", 0) or 0)
    if "token_type_ids" in parameters and types > 1 and not (tokenizer and "token_type_ids" not in tokenizer):
        made.append(Input("token_type_ids", DType.INT64, _TEXT, types))
    return made


def _vocabulary(config: Any) -> Optional[int]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "vocab_size", None) or getattr(config, "vocab_size", None)
    return int(size) if size else None


def _positions(config: Any) -> Optional[int]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "max_position_embeddings", None)
    return int(size) if isinstance(size, int) and size > 0 else None


def _pixels(model: Any, folder: Path) -> Input:
    """Images: of the size that the configuration names, else that of the preprocessor, else open."""
    config = getattr(model.config, "vision_config", model.config)
    channels = int(getattr(config, "num_channels", 3) or 3)
    size = getattr(config, "image_size", None)
    height, width = _size(size) or (None, None)
    if height is None:
        preprocessor = _optional(folder / "preprocessor_config.json")
        cropped = preprocessor.get("crop_size") if preprocessor.get("do_center_crop") else None
        height, width = _size(cropped or preprocessor.get("size")) or (None, None)
    dims: tuple[Dim, Dim] = ("height", "width") if height is None or width is None else (height, width)
    return Input("pixel_values", DType.FP32, ("batch", channels, *dims))


def _size(size: Any) -> Optional[tuple[int, int]]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict) and "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return None


def _features(config: Any) -> Input:
    """Spectrograms; Whisper takes exactly thirty seconds."""
    bins = int(getattr(config, "num_mel_bins", 80) or 80)
    positions = getattr(config, "max_source_positions", None)
    if config.model_type == "whisper" and positions:
        return Input("input_features", DType.FP32, ("batch", bins, 2 * int(positions)))
    return Input("input_features", DType.FP32, ("batch", "frames", bins))


def _optional(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        held = forms.read_json(path)
    except MconvError:
        return {}
    return held if isinstance(held, dict) else {}
