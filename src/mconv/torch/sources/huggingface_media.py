"""Images, sounds and series that models of transformers are called with, by their configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.program.inputs import Dim

_SIZES = ("image_size", "input_size", "img_size", "crop_size")


def pixels(model: Any, preprocessor: Mapping[str, Any]) -> Input:
    """Images: of the size that the configuration names, else that of the preprocessor, else open; films where it has
    a number of frames."""
    parts = list(_parts(model.config))
    channels = next((int(n) for p in parts if (n := getattr(p, "num_channels", None))), 3)
    owners = [p for p in parts if p is not getattr(model.config, "backbone_config", None)]
    size = next((s for p in owners for name in _SIZES if (s := size_of(getattr(p, name, None)))), None)
    if size is None:
        cropped = preprocessor.get("crop_size") if preprocessor.get("do_center_crop") else None
        size = size_of(cropped or preprocessor.get("size"))
    dims: tuple[Dim, Dim] = ("height", "width") if size is None else size
    frames = next((n for p in parts if (n := getattr(p, "num_frames", None))), None)
    if isinstance(frames, int):
        return Input("pixel_values", DType.FP32, ("batch", frames, channels, *dims))
    return Input("pixel_values", DType.FP32, ("batch", channels, *dims))


def _parts(config: Any) -> Iterator[Any]:
    """The configurations that may describe the images."""
    for name in ("vision_config", "image_config", "encoder"):
        part = getattr(config, name, None)
        if part is not None and not isinstance(part, (dict, str, int)):
            yield part
    yield config
    backbone = getattr(config, "backbone_config", None)
    if backbone is not None:
        yield backbone


def size_of(size: Any) -> Optional[tuple[int, int]]:
    """Height and width, in any of the forms that configurations have them in."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)) and len(size) in (2, 3) and all(isinstance(s, int) for s in size):
        return int(size[-2]), int(size[-1])
    for height, width in (("height", "width"), ("shortest_edge", "shortest_edge")):
        if isinstance(size, Mapping) and isinstance(size.get(height), int) and isinstance(size.get(width), int):
            return int(size[height]), int(size[width])
    return None


def sounds(model: Any, parameters: Mapping[str, Any], sizes: dict[str, tuple[int, int]]) -> list[Input]:
    """Samples or spectrograms.

    Args:
        sizes: takes the sizes of open dimensions that suit them.
    """
    config = model.config
    main = getattr(model, "main_input_name", "")
    heard = getattr(config, "audio_config", None) or getattr(config, "encoder", None)
    heard = heard if hasattr(heard, "model_type") else config
    if main == "spectrogram":
        return [Input(main, DType.FP32, ("batch", "frames", int(config.model_in_dim)))]
    if "input_features" in parameters and (main == "input_features" or hasattr(model, "get_audio_features")):
        return _features(config, heard)
    if "input_values" not in parameters or (main in parameters and main not in ("input_values", "inputs")):
        return []
    sizes["samples"] = (1600, 2320)
    if hasattr(config, "max_length") and hasattr(config, "num_mel_bins") and hasattr(config, "time_stride"):
        return [Input("input_values", DType.FP32, ("batch", int(config.max_length), int(config.num_mel_bins)))]
    if hasattr(config, "codebook_size"):  # codecs
        channels = int(getattr(config, "audio_channels", 1) or 1)
        return [Input("input_values", DType.FP32, ("batch", channels, "samples"))]
    return [Input("input_values", DType.FP32, ("batch", "samples"))]


def _features(config: Any, heard: Any) -> list[Input]:
    """Spectrograms; Whisper takes exactly thirty seconds, CLAP pictures of them."""
    name = "input_features"
    of = ["num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim"]
    if hasattr(heard, "input_feat_per_channel"):  # its num_mel_bins, where it has one, is another's
        del of[0]
    bins = next((int(n) for attribute in of if (n := getattr(heard, attribute, None))), 80)
    positions = getattr(config, "max_source_positions", None)
    if config.model_type == "whisper" and positions:
        return [Input(name, DType.FP32, ("batch", bins, 2 * int(positions)))]
    if hasattr(heard, "spec_size"):
        frames = int(heard.spec_size) * (int(heard.spec_size) // bins)
        if getattr(heard, "enable_fusion", False):
            return [
                Input(name, DType.FP32, ("sounds", 4, frames, bins)),
                Input("is_longer", DType.BOOL, ("sounds", 1)),
            ]
        return [Input(name, DType.FP32, ("sounds", 1, frames, bins))]
    return [Input(name, DType.FP32, ("batch", "frames", bins))]


def series(model: Any, parameters: Mapping[str, Any]) -> list[Input]:
    """Series of numbers in time, or of states and actions."""
    config = model.config

    def floats(name: str, *dims: Dim) -> Input:
        return Input(name, DType.FP32, ("batch", *dims))

    if {"states", "actions", "returns_to_go", "timesteps"} <= set(parameters):
        return [
            floats("states", "length", int(config.state_dim)),
            floats("actions", "length", int(config.act_dim)),
            floats("returns_to_go", "length", 1),
            Input("timesteps", DType.INT64, ("batch", "length"), int(config.max_ep_len)),
            Input("attention_mask", DType.INT64, ("batch", "length")),
        ]
    if "past_values" not in parameters or not isinstance(getattr(config, "context_length", None), int):
        return []
    if hasattr(config, "num_input_channels"):
        return [floats("past_values", config.context_length, int(config.num_input_channels))]
    if "past_time_features" not in parameters:
        return []
    past = config.context_length + max(config.lags_sequence)
    width = () if config.input_size == 1 else (int(config.input_size),)
    known = int(config.num_time_features)
    made = [
        floats("past_values", past, *width),
        floats("past_time_features", past, known),
        floats("past_observed_mask", past, *width),
    ]
    if config.num_static_categorical_features:
        static: tuple[Dim, ...] = ("batch", int(config.num_static_categorical_features))
        made.append(Input("static_categorical_features", DType.INT64, static, min(config.cardinality)))
    if config.num_static_real_features:
        made.append(floats("static_real_features", int(config.num_static_real_features)))
    return [
        *made,
        floats("future_values", int(config.prediction_length), *width),
        floats("future_time_features", int(config.prediction_length), known),
    ]


__all__ = ["pixels", "series", "size_of", "sounds"]
