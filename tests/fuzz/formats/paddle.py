"""``.pdmodel`` and ``__model__``, ``.pdiparams``, ``.pdparams``."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mconv.program.messages import ProgramDescMessage
from tests.fuzz import mutate
from tests.fuzz.harness import Format
from tests.golden import case

_MODELS = ("2.3.2-mlp", "2.3.2-conv", "2.3.2-multi", "1.8.5-mlp_combined", "1.8.5-mlp_separate")


def _prepare(folder: Path) -> list[Path]:
    made = []
    for name in _MODELS:
        shutil.copytree(case(name).model, folder / name)
        made.append(folder / name)
    return made


def _commands(rng: random.Random) -> list[str]:
    return rng.choice(
        [
            ["to-serving", "m", "-o", "out"],
            ["to-serving", "m", "-o", "out", "--pipeline"],
            ["to-serving", "m", "--show"],
            ["downgrade", "m", "out", "--target", "1.8"],
            ["inspect", "m"],
            ["inspect", "m", "--text"],
            ["inspect", "m", "--json", "--ops", "--vars"],
        ]
    )


def _is_program(path: Path) -> bool:
    return path.name in ("__model__", "inference.pdmodel", "model")


def _program(models: list[Path], rng: random.Random, folder: Path) -> list[str]:
    shutil.copytree(rng.choice(models), folder / "m")
    path = next(p for p in sorted(folder.joinpath("m").iterdir()) if _is_program(p))
    held = path.read_bytes()
    if rng.random() < 0.8:
        message = ProgramDescMessage()
        message.ParseFromString(held)
        held = mutate.message(rng, message).SerializeToString()
    if rng.random() < 0.3:
        held = mutate.data(rng, held)
    path.write_bytes(held)
    return _commands(rng)


def _params(models: list[Path], rng: random.Random, folder: Path) -> list[str]:
    shutil.copytree(rng.choice(models), folder / "m")
    path = rng.choice([p for p in sorted(folder.joinpath("m").iterdir()) if not _is_program(p)])
    held = path.read_bytes()
    if rng.random() < 0.6:  # in the head of the first record
        size = rng.choice([8, 16, 40, 80])
        held = mutate.data(rng, held[:size]) + held[size:]
    else:
        held = mutate.data(rng, held)
    path.write_bytes(held)
    return _commands(rng)


def _sound(models: list[Path], folder: Path) -> list[list[str]]:
    commands = []
    for path in models:
        shutil.copytree(path, folder / path.name)
        commands += [
            ["to-serving", path.name, "-o", f"out-{path.name}", "--pipeline"],
            ["inspect", path.name, "--text"],
        ]
    return [*commands, ["downgrade", _MODELS[0], "down"], ["inspect", _MODELS[0], "--json"]]


PROGRAM = Format("program", _prepare, _program, _sound)
PARAMS = Format("params", _prepare, _params, _sound)

# ------------------------------------------------------------------------------------------------- pickles

_STATE: dict[str, Any] = {
    "linear.weight": ("linear_0.w_0", np.arange(12, dtype=np.float32).reshape(3, 4)),
    "linear.bias": np.ones(4, np.float16),
    "flag": np.array([True, False]),
    "scalar": np.array(2.5),
    "StructuredToParameterName@@": {"linear.weight": "linear_0.w_0"},
}
_HOSTILE = [
    b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR.", b"c\x1b[31m\nx\n.", b"(lp0\n" + b"(l" * 3000 + b".",
    b"\x80\x04\x8c\xff" + b"a" * 300, b"\x80\x04\x95" + b"\xff" * 8, b"\x80\x02I" + b"9" * 6000 + b"\n.",
    b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".", b"\x80\x05\x96" + (1 << 60).to_bytes(8, "little"), b"N.", b"}.", b"(.",
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
    b"cnumpy\nndarray\n(I4000000000\ntR.", b"\x80\x02}q\x00(X\x01\x00\x00\x00\x1bq\x01X\x01\x00\x00\x00aq\x02u.",
]  # fmt: skip


def _pickles(_: Path) -> list[bytes]:
    return [pickle.dumps(_STATE, protocol) for protocol in (2, 3, 4, 5, 0)]


def _pdparams(sound: list[bytes], rng: random.Random, folder: Path) -> list[str]:
    held = rng.choice(_HOSTILE) if rng.random() < 0.15 else rng.choice(sound)
    folder.joinpath("w.pdparams").write_bytes(mutate.data(rng, held) if rng.random() < 0.95 else held)
    return ["w.pdparams"]


def _read_weights(argv: list[str]) -> int:
    """As ``mconv to-static --weights`` reads them, without the seconds that the layer takes."""
    from mconv.cli.failing import render_error
    from mconv.cli.output import out
    from mconv.dygraph import weights

    out.configure()
    try:
        for name, array in weights.read(Path(argv[0])).items():
            out.print(f"{name}: {array.dtype} {list(array.shape)}")
    except Exception as e:  # noqa: BLE001 - as the command line has it
        return render_error(e, "mconv to-static")
    return 0


def _sound_weights(sound: list[bytes], folder: Path) -> list[list[str]]:
    for i, held in enumerate(sound):
        folder.joinpath(f"w{i}.pdparams").write_bytes(held)
    return [[f"w{i}.pdparams"] for i in range(len(sound))]


PDPARAMS = Format("pdparams", _pickles, _pdparams, _sound_weights, _read_weights)
