"""What a service is made of: the serving configuration, tokenizers and what lies beside them, names and aliases."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from mconv.program.files import load_program, locate
from mconv.program.messages import ProgramDescMessage
from mconv.serving.configure import CLIENT_BINARY, CLIENT_TEXT, SERVER_BINARY, SERVER_TEXT, ServingConfig, _classes
from tests.fuzz import mutate
from tests.fuzz.harness import Format
from tests.golden import case

# ------------------------------------------------------------------------------------------------- the configuration


def _converted(name: str, folder: Path) -> Path:
    from mconv import api

    api.to_serving(case(name).model, out=folder)
    return folder


def _served(folder: Path) -> list[Path]:
    return [_converted("2.3.2-mlp", folder / "a"), _converted("2.3.2-multi", folder / "b")]


def _configuration_case(models: list[Path], rng: random.Random, folder: Path) -> list[str]:
    shutil.copytree(rng.choice(models), folder / "s")
    side = rng.choice(["server", "server", "client"])
    path = folder / "s" / f"serving_{side}" / (SERVER_TEXT if side == "server" else CLIENT_TEXT)
    if rng.random() < 0.4:
        binary = path.with_name(SERVER_BINARY if side == "server" else CLIENT_BINARY)
        message = _classes()["GeneralModelConfig"]()
        message.ParseFromString(binary.read_bytes())
        made = mutate.message(rng, message)
        held = made.SerializeToString()
        binary.write_bytes(held if rng.random() < 0.7 else mutate.data(rng, held))
        if rng.random() < 0.5:
            path.unlink()
        else:
            with contextlib.suppress(Exception):
                path.write_bytes(ServingConfig._from_message(made, "").to_text())
    elif rng.random() < 0.5:
        path.write_text(
            mutate.lines(rng, path.read_text()).encode("utf-8", "surrogatepass").decode("latin-1"), "latin-1"
        )
    else:
        path.write_bytes(mutate.data(rng, path.read_bytes()))
    return rng.choice(
        [
            ["inspect", f"s/serving_{side}"],
            ["inspect", "s/serving_server", "--json"],
            ["scaffold", "s/serving_server", "-o", "out"],
            ["scaffold", "s/serving_server", "-o", "out", "--service", "tensor"],
            ["to-serving", "s/serving_server", "-o", "out"],
            ["check", "s"],
        ]
    )


def _configuration_sound(models: list[Path], folder: Path) -> list[list[str]]:
    commands = []
    for path in models:
        shutil.copytree(path, folder / path.name)
        at = f"{path.name}/serving_server"
        commands += [["inspect", at], ["scaffold", at, "-o", f"out-{path.name}", "--service", "tensor"]]
    return [*commands, ["check", "a"], ["to-serving", "a/serving_server", "-o", "again"]]


CONFIGURATION = Format("configuration", _served, _configuration_case, _configuration_sound)

# ------------------------------------------------------------------------------------------------- tokenizers

_TOKENIZER = {
    "version": "1.0",
    "truncation": {"max_length": 32, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": "BatchLongest", "pad_id": 0, "pad_token": "[PAD]"},
    "added_tokens": [{"id": 0, "content": "[PAD]", "special": True}, {"id": 1, "content": "[UNK]"}],
    "normalizer": {"type": "BertNormalizer", "lowercase": True},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 1, "hello": 2}},
}
_VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n"
_CONFIG = {
    "model_type": "bert", "max_position_embeddings": 512, "id2label": {"0": "no", "1": "yes"},
    "label2id": {"no": 0, "yes": 1}, "image_size": 224, "num_labels": 2,
}  # fmt: skip
_TOKENIZER_CONFIG = {"model_max_length": 128, "do_lower_case": True, "pad_token": "[PAD]"}
_PICTURES = {
    "do_resize": True, "size": {"height": 224, "width": 224}, "crop_size": 224, "do_center_crop": True, "resample": 3,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392, "do_rescale": True,
}  # fmt: skip
_SENTENCEPIECE = b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x0c\x0a\x05hello\x15\x00\x00\x80\xbf"
_LABELS = "no\nyes\nmaybe\n"
_FILES: dict[str, Any] = {
    "tokenizer.json": _TOKENIZER, "vocab.txt": _VOCAB, "config.json": _CONFIG, "tokenizer_config.json": _TOKENIZER_CONFIG,
    "preprocessor_config.json": _PICTURES, "spiece.model": _SENTENCEPIECE, "labels.txt": _LABELS,
}  # fmt: skip


def _written(held: Any) -> bytes:
    if isinstance(held, bytes):
        return held
    return (held if isinstance(held, str) else mutate.dumps(held)).encode("utf-8", "surrogatepass")


def _texts(folder: Path) -> tuple[Path, Path]:
    return _converted("2.3.2-bert", folder / "t"), _converted("2.3.2-conv", folder / "p")


def _service(kind: str) -> list[str]:
    if kind == "text":
        return ["scaffold", "s/serving_server", "-o", "out", "--service", "text", "--tokenizer", "s/serving_server"]
    return ["scaffold", "s/serving_server", "-o", "out", "--service", "image"]


def _light(source: Path, target: Path) -> None:
    """A serving folder whose parameters are links: they are never changed here."""
    shutil.copytree(source, target, copy_function=lambda a, b: (os.link if a.endswith("params") else shutil.copy)(a, b))


def _tokenizer_case(made: tuple[Path, Path], rng: random.Random, folder: Path) -> list[str]:
    kind = rng.choice(["text", "text", "image"])
    _light(made[kind == "image"], folder / "s")
    home = folder / "s" / "serving_server"
    best = rng.choice(["tokenizer.json", "vocab.txt", "spiece.model"])
    names = (
        ["config.json", "labels.txt", "tokenizer_config.json", best]
        if kind == "text"
        else ["config.json", "labels.txt"]
    )
    names += ["preprocessor_config.json"] * (kind == "image")
    changed = rng.choice(names)
    for name in names:
        held = _FILES[name]
        if name == changed:
            if isinstance(held, dict):
                held = mutate.tree(rng, json.loads(mutate.dumps(held)))
            elif isinstance(held, str):
                held = mutate.lines(rng, held)
            if isinstance(held, bytes) or rng.random() < 0.15:
                held = mutate.data(rng, _written(held))
        if name != "labels.txt":
            home.joinpath(name).write_bytes(_written(held))
        else:
            folder.joinpath(name).write_bytes(_written(held))
    more = ["--labels", "labels.txt"] if rng.random() < 0.4 else []
    return [*_service(kind), *more]


def _tokenizer_sound(made: tuple[Path, Path], folder: Path) -> list[list[str]]:
    _light(made[0], folder / "s")
    _light(made[1], folder / "p")
    for name, held in _FILES.items():
        folder.joinpath("s/serving_server", name).write_bytes(_written(held))
        folder.joinpath("p/serving_server", name).write_bytes(_written(held))
    folder.joinpath("labels.txt").write_text(_LABELS)
    return [
        [*_service("text"), "--labels", "labels.txt"],
        ["scaffold", "p/serving_server", "-o", "out2", "--service", "image"],
    ]


TOKENIZER = Format("tokenizer", _texts, _tokenizer_case, _tokenizer_sound)

# ------------------------------------------------------------------------------------------------- inference.yml

_DECODE: dict[str, Any] = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}
_NORMALIZE = {"NormalizeImage": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "scale": "1./255.", "order": "hwc"}}
_DESCRIPTIONS: list[dict[str, Any]] = [
    {
        "Global": {"model_name": "PP-OCRv4_mobile_det"},
        "PreProcess": {"transform_ops": [_DECODE, {"DetResizeForTest": {"resize_long": 960}}, _NORMALIZE]},
        "PostProcess": {
            "name": "DBPostProcess",
            "thresh": 0.3,
            "box_thresh": 0.6,
            "unclip_ratio": 1.5,
            "max_candidates": 9,
        },
    },
    {
        "Global": {"model_name": "PP-OCRv4_mobile_rec"},
        "Hpi": {"backend_configs": {"paddle_infer": {"trt_dynamic_shapes": {"x": [[1, 3, 48, 160]]}}}},
        "PreProcess": {"transform_ops": [_DECODE, {"RecResizeImg": {"image_shape": [3, 48, 320]}}]},
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": ["a", "b", "\u4e2d"]},
    },
    {
        "Global": {"model_name": "PP-LCNet_x1_0"},
        "PreProcess": {
            "transform_ops": [{"ResizeImage": {"resize_short": 256}}, {"CropImage": {"size": 224}}, _NORMALIZE]
        },
        "PostProcess": {"Topk": {"topk": 5, "label_list": ["cat", "dog"]}},
    },
]


def _descriptions(folder: Path) -> Path:
    return _converted("2.3.2-conv", folder / "p")


def _description_case(made: Path, rng: random.Random, folder: Path) -> list[str]:
    _light(made, folder / "s")
    held = mutate.tree(rng, json.loads(mutate.dumps(rng.choice(_DESCRIPTIONS))))
    text = _written(held)  # JSON is YAML
    path = folder / "s" / "serving_server" / "inference.yml"
    path.write_bytes(mutate.data(rng, text) if rng.random() < 0.2 else text)
    return rng.choice([_service("image"), _service("image"), ["inspect", "s/serving_server"]])


def _description_sound(made: Path, folder: Path) -> list[list[str]]:
    commands = []
    for number, held in enumerate(_DESCRIPTIONS):
        _light(made, folder / f"s{number}")
        folder.joinpath(f"s{number}/serving_server/inference.yml").write_bytes(_written(held))
        commands += [["inspect", f"s{number}"], ["scaffold", f"s{number}/serving_server", "-o", f"out{number}"]]
    return commands


DESCRIPTION = Format("description", _descriptions, _description_case, _description_sound)

# ------------------------------------------------------------------------------------------------- names and aliases


def _names(folder: Path) -> Path:
    shutil.copytree(case("2.3.2-mlp").model, folder / "m")
    return folder / "m"


def _renamed(source: Path, folder: Path, old: str, new: str) -> None:
    """A model whose variable *old* is called *new*."""
    message = ProgramDescMessage()
    message.ParseFromString(locate(source).program.read_bytes())
    for block in message.blocks:
        for var in block.vars:
            if var.name == old:
                var.name = new
        for op in block.ops:
            for side in (op.inputs, op.outputs):
                for slot in side:
                    for i, name in enumerate(slot.arguments):
                        if name == old:
                            slot.arguments[i] = new
    folder.mkdir()
    folder.joinpath("inference.pdmodel").write_bytes(message.SerializeToString())
    shutil.copy(source / "inference.pdiparams", folder)


def _port(source: Path, side: str) -> str:
    program = load_program(locate(source))
    return (program.feeds if side == "feed" else program.fetches)[0].name


def _name(rng: random.Random) -> str:
    made = mutate.text(rng, rng.choice(["x", "input_ids", "image", "y"]))
    return "".join(made for _ in range(rng.choice([1, 1, 1, 1, 40])))


def _argument(text: str) -> str:
    """As a command line can hold it: without NUL, and bytes that are no UTF-8 as surrogates."""
    return os.fsdecode(text.replace("\0", "").encode("utf-8", "surrogateescape" if "\ud800" not in text else "replace"))


def _names_case(source: Path, rng: random.Random, folder: Path) -> list[str]:
    side = rng.choice(["feed", "fetch"])
    old = _port(source, side)
    called = old
    if rng.random() < 0.5:
        called = _name(rng).encode("utf-8", "replace").decode()
        _renamed(source, folder / "m", old, called)
    else:
        shutil.copytree(source, folder / "m")
    new = _argument(_name(rng))
    given = _argument(rng.choice([old, called]))
    return rng.choice(
        [
            ["to-serving", "m", "-o", "out", "--pipeline", "--service", "tensor", f"--{side}-alias", f"{given}={new}"],
            ["to-serving", "m", "-o", "out", "--pipeline", "--service", "tensor", f"--{side}-alias={given}={new}"],
            ["to-serving", "m", "-o", "out", "--pipeline", "--service", "tensor"],
            ["to-serving", "m", "-o", "out", "--pipeline", f"--name={new}"],
            ["to-serving", "m", "-o", "out", "--pipeline", f"--service-dir={new}"],
            ["to-serving", "m", "-o", "out", f"--serving-server={new}"],
            ["to-serving", "m", "-o", "out", "--pipeline", f"--log-file={new}"],
            ["to-serving", "m", "-o", "out", "--pipeline", "--service", "text", f"--text-input={given}={new}"],
            ["to-serving", "m", "--show", f"--{side}-alias={given}={new}"],
            ["to-serving", "m", "--show", "--json"],
            ["downgrade", "m", "out", f"--output-names={new}"],
            ["downgrade", "m", "out", f"--name={new}"],
            ["inspect", "m", "--text"],
            ["inspect", "m", "--vars"],
            ["inspect", f"m/{new}"],
            ["inspect", new],
            ["downgrade", "m", "out", f"--target={new}"],
            [new, "m"],
            ["inspect", "m", new],
        ]
    )


def _names_sound(source: Path, folder: Path) -> list[list[str]]:
    old = _port(source, "feed")
    _renamed(source, folder / "m", old, "the input")
    alias = ["--feed-alias", "the input=x y"]
    return [
        ["to-serving", "m", "-o", "out", "--pipeline", "--service", "tensor", *alias],
        ["inspect", "m", "--text"],
        ["inspect", "m", "--vars"],
        ["downgrade", "m", "down", "--output-names=z"],
    ]


NAMES = Format("names", _names, _names_case, _names_sound)
