"""What a model of transformers is called with: from its ``forward``, its configuration and its preprocessor's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from mconv.errors import MconvError
from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.program.inputs import Dim
from mconv.torch.sources import forms, huggingface_media
from mconv.torch.sources.source import Source

_TEXT = ("batch", "sequence")
_BOXES = 1001  # corners of boxes on a page are numbers from 0 to 1000


def describe(source: Source, folder: Optional[Path]) -> None:
    """Fill in the inputs of *source*, whose module is a model of transformers.

    Args:
        folder: where the configurations of its preprocessors are; None for a model that a factory made.
    """
    model = source.module
    parameters = inspect.signature(model.forward).parameters
    found: list[Input] = []
    config = model.config
    compared = hasattr(model, "get_text_features")  # texts with images or sounds, as many as there are of each
    if "pixel_values" in parameters:
        pixels = huggingface_media.pixels(model, _optional(folder, "preprocessor_config.json"))
        if compared and hasattr(model, "get_image_features"):
            source.sizes["images"] = (3, 4)
            pixels = replace(pixels, dims=("images", *pixels.dims[1:]))
        found.append(pixels)
    found += huggingface_media.sounds(model, parameters, source.sizes)
    found += huggingface_media.series(model, parameters)
    heard = any(i.name in ("input_values", "input_features", "past_values", "states") for i in found)
    if "input_ids" in parameters and (not heard or compared) and not _is_vision_only(model):
        found[:0] = _tokens(model, parameters, folder)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        limit = _vocabulary(config)
        found.append(Input("decoder_input_ids", DType.INT64, ("batch", "decoder_sequence"), limit))
        source.sizes["decoder_sequence"] = (5, 8)
    source.inputs = found
    longest = _positions(config)
    if longest is not None and longest < 20:  # of tests; the usual sizes are 12 and 19
        source.sizes["sequence"] = (max(2, longest // 2), longest)
    source.alternatives = list(_alternatives(model, found))


def _alternatives(model: Any, inputs: list[Input]) -> Iterator[list[Input]]:
    """Other sizes, for models that do not run with the usual ones: what the configuration names elsewhere."""

    def fixed(sizes: dict[str, Dim]) -> list[Input]:
        return [replace(i, dims=tuple(sizes.get(d, d) if isinstance(d, str) else d for d in i.dims)) for i in inputs]

    names = {d for i in inputs for d in i.dims}
    if "images" in names:
        yield fixed({"images": "batch"})
    backbone = getattr(model.config, "backbone_config", None)
    size = huggingface_media.size_of(getattr(backbone, "image_size", None))
    if size is not None and {"height", "width"} <= names:
        yield fixed({"height": size[0], "width": size[1]})
    lengths = ("segment_means_seq_len", "max_seq_length", "context_length", "max_position_embeddings")
    for length in dict.fromkeys(getattr(model.config, name, None) for name in lengths):
        if isinstance(length, int) and 0 < length <= 4096 and "sequence" in names:
            yield fixed({"sequence": length})


def _is_vision_only(model: Any) -> bool:
    return getattr(model, "main_input_name", "") == "pixel_values" and not hasattr(model.config, "text_config")


def _tokens(model: Any, parameters: Any, folder: Optional[Path]) -> list[Input]:
    config = model.config
    limit = _vocabulary(config)
    tokenizer = _optional(folder, "tokenizer_config.json").get("model_input_names")
    made = [Input("input_ids", DType.INT64, _TEXT, limit)]
    if "attention_mask" in parameters:
        made.append(Input("attention_mask", DType.INT64, _TEXT))
    types = int(getattr(config, "type_vocab_size", 0) or 0)
    if "token_type_ids" in parameters and types > 1 and not (tokenizer and "token_type_ids" not in tokenizer):
        made.append(Input("token_type_ids", DType.INT64, _TEXT, types))
    if "bbox" in parameters:
        table = getattr(config, "max_2d_position_embeddings", None)
        if table is None:  # of numbers from 0 to 1
            made.append(Input("bbox", DType.FP32, (*_TEXT, 4)))
        else:
            made.append(Input("bbox", DType.INT64, (*_TEXT, 4), min(_BOXES, int(table))))
    return made


def _vocabulary(config: Any) -> Optional[int]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "vocab_size", None) or getattr(config, "vocab_size", None)
    return int(size) if size else None


def _positions(config: Any) -> Optional[int]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "max_position_embeddings", None)
    return int(size) if isinstance(size, int) and size > 0 else None


def _optional(folder: Optional[Path], name: str) -> dict[str, Any]:
    if folder is None or not (folder / name).is_file():
        return {}
    try:
        held = forms.read_json(folder / name)
    except MconvError:
        return {}
    return held if isinstance(held, dict) else {}
