"""Every command that reads a file, on files of every kind: damaged, of another kind, under a strange name, written to a
strange path, or no file at all."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from tests.fuzz import mutate
from tests.fuzz.harness import Format
from tests.golden import case
from tests.onnx.make import mlp
from tests.paddle.fixtures import unpack

_Made = tuple[Path, list[str]]
_RECIPE = """\
source: m.onnx
target: "2.3"
steps:
- onnx2paddle: {verify: false}
- to-serving
"""
_LAYER = "import paddle\n\n\ndef make():\n    return paddle.nn.Linear(4, 2)\n"


def _prepare(folder: Path) -> _Made:
    """One sound file or folder of each kind."""
    from mconv import api

    mlp(folder / "m.onnx")
    held = onnx.load(folder / "m.onnx")
    onnx.save(held, folder / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    shutil.copytree(case("2.3.2-mlp").model, folder / "p")
    shutil.copytree(case("1.8.5-mlp_separate").model, folder / "old")
    written = unpack("3.3", "LeNet", folder / "unpacked")
    for path in (written, written.with_suffix(".pdiparams")):
        shutil.move(path, folder / f"j{path.suffix}")
    folder.joinpath("unpacked").rmdir()
    api.to_serving(folder / "p", out=folder / "s", pipeline={})
    rows = np.arange(32, dtype=np.float32).reshape(4, 8)
    np.savez(folder / "x.npz", x=rows)
    _exported(folder)
    folder.joinpath("labels.txt").write_text("no\nyes\n")
    folder.joinpath("shapes.json").write_text('{"x": {"min": [1, 8], "opt": [4, 8], "max": [8, 8]}}\n')
    folder.joinpath("r.yaml").write_text(_RECIPE)
    folder.joinpath("net.py").write_text(_LAYER)
    folder.joinpath("w.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    folder.joinpath("body.json").write_text('{"x": "${tensor}"}\n')
    return folder, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _exported(folder: Path) -> None:
    import torch

    from tests.torch import nets

    torch.manual_seed(0)
    torch.export.save(torch.export.export(nets.Mlp().eval(), (torch.randn(2, 6),)), folder / "m.pt2")
    torch.jit.save(torch.jit.trace(nets.Mlp().eval(), torch.randn(2, 6), strict=False), folder / "m.pt")
    torch.save(nets.Mlp().state_dict(), folder / "w.pth")


# what reads a file of a kind, with {} for it; nothing here starts a model, so a case is quick
_ONNX = [
    "onnx2paddle {} out --no-verify", "convert {} out --no-verify", "convert {} out --no-verify --pipeline --service tensor",
    "edit {} out.onnx --dim n=2 --no-verify", "edit {} out.onnx --fold --no-verify", "edit {} out.onnx --rename x=z --no-verify",
    "inspect {}", "inspect {} --json --ops", "init {}",
]  # fmt: skip
_PADDLE = [
    "to-serving {} -o out", "to-serving {} -o out --pipeline", "convert {} out --no-verify", "downgrade {} out",
    "downgrade {} out --target 1.8", "to-onnx {} out.onnx --no-verify", "edit {} out --dim batch=2 --no-verify",
    "edit {} out --weights fluid --no-verify", "half {} out --no-verify", "half {} out --weights-only --no-verify",
    "inspect {}", "inspect {} --text", "init {}",
]  # fmt: skip
_SERVING = [
    "inspect {}", "scaffold {} -o out --service tensor", "scaffold {} -o out --server http", "scaffold {} -o out --server triton",
    "check {}", "to-serving {} -o out", "downgrade {} out",
]  # fmt: skip
_TORCH = [
    "torch2paddle {} out --no-verify --input x:float32[?,6]",
    "convert {} out --no-verify",
    "inspect {}",
    "init {}",
]
_ANY = sorted({*_ONNX, *_PADDLE, *_SERVING, *_TORCH})
# a whole: (its files, what is given to the command, what reads it)
_WHOLES: dict[str, tuple[list[str], str, list[str]]] = {
    "onnx": (["m.onnx"], "m.onnx", _ONNX),
    "external": (["e.onnx", "e.bin"], "e.onnx", _ONNX),
    "program": (["p"], "p", _PADDLE),
    "old": (["old"], "old", _PADDLE),
    "pir": (["j.json", "j.pdiparams"], "j.json", _PADDLE),
    "served": (["s"], "s/serving_server", _SERVING),
    "service": (["s"], "s", ["check {}", "inspect {}", "scaffold {}/serving_server -o out", "serve {}/service --dry-run"]),
    "pt2": (["m.pt2"], "m.pt2", _TORCH),
    "script": (["m.pt"], "m.pt", _TORCH),
    "state": (["w.pth"], "w.pth", [*_TORCH, "onnx2paddle {} out --no-verify"]),
    "safetensors": (["w.safetensors"], "w.safetensors", _TORCH),
    "recipe": (["r.yaml", "m.onnx"], "r.yaml", ["run {}", "run {} --dry-run", "run {} -o build --set target=2.6"]),
    # what lies beside a model: read by an option
    "arrays": (["x.npz", "p"], "x.npz", [
        "quantize p out --data {}", "half p out --calibrate {}", "shapes p --inputs {}", "verify p p --inputs {}",
        "downgrade p out --inputs {}", "bench p --inputs {}",
    ]),
    "labels": (["labels.txt", "s"], "labels.txt", [
        "scaffold s/serving_server -o out --labels {}", "to-serving s/serving_server -o out --pipeline --labels {}",
    ]),
    "shapes": (["shapes.json", "s"], "shapes.json", ["scaffold s/serving_server -o out --shapes {} --device-type 2"]),
    "tokenizer": (["body.json", "s"], "body.json", ["scaffold s/serving_server -o out --service text --tokenizer {}"]),
    "layer": (["net.py", "w.pth"], "w.pth", ["to-static net.py:make out --weights {} --no-verify"]),
    "body": (["body.json"], "body.json", ["bench http://127.0.0.1:9/x --body {}", "verify p http://127.0.0.1:9/x --inputs {}"]),
}  # fmt: skip
# files that only a running model says something about: the worker is stopped before it costs seconds
_NAMES = [
    "a b", "ä", "名前", "😀", "-x", "--help", "a\nb", "a\tb", "\x1b[31mred", "a\x7fb", "\udcff", "%s", "{0}", "$(id)", "'", '"',
    "a" * 240, "*", "[x]", "#", "a:b", "~", "a=b", "a,b", "\u202e", ".hidden", "..a", "CON", "a ", " a", "\ufeffa", "e\u0301",
]  # fmt: skip
_PATHS = [
    "out", "out", "out", "out", "there", "there/in", "link", "loop", "pipe", "file", "file/in", "/dev/null", "/dev/full",
    "/dev/stdout", "/proc/x", ".", "..", "", "x" * 300, "gone/deep/out", "out\x1b[31m", "\udcff", "a\nb", "-", "/dev/null/x",
    "dangling", "s", "p", "out/", "./out/../out", "https://example.invalid/x", "名前",
]  # fmt: skip


def _zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("net/data.pkl", "net/data/0", "x.npy", "net/models/model.json", "net/version"):
            with archive.open(name, "w") as record:
                for _ in range(40):
                    record.write(bytes(1 << 20))
    return out.getvalue()


_BOMB = _zip_bomb()
_CONTENTS: list[Callable[[bytes], bytes]] = [
    lambda held: b"", lambda held: b"\n", lambda held: b"\0" * 4096, lambda held: held[: len(held) // 2], lambda held: held[:8],
    lambda held: held[:-1], lambda held: held + held, lambda held: held + b"\0" * 64, lambda held: gzip.compress(held),
    lambda held: b"[" * 100_000, lambda held: b'{"a":' * 50_000, lambda held: b"a: &a [*a, *a]\n", lambda held: b"9" * 100_000,
    lambda held: _BOMB, lambda held: b"\xff" * 4096, lambda held: b"\x08" + b"\xff" * 9 + b"\x01", lambda held: held[::-1],
    lambda held: b"\x80\x04" + b"(l" * 20_000 + b".", lambda held: b"\x93NUMPY\x01\x00\xff\xff", lambda held: b"PK\x05\x06" + b"\0" * 18,
    lambda held: b"PK\x03\x04" + b"\xff" * 40, lambda held: held.replace(b"\x00", b"\xff"), lambda held: "\ufeff".encode() + held,
    lambda held: held.decode("latin-1").encode("utf-16"), lambda held: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    lambda held: b"<!DOCTYPE html><html><title>404</title></html>", lambda held: b"[]", lambda held: b"null", lambda held: b"{}",
    lambda held: b"a" * 5_000_000, lambda held: json.dumps({"base_code": {}, "program": None}).encode(),
]  # fmt: skip


def _around(folder: Path) -> None:
    """Places that an output may be written to, or an input be read from."""
    folder.joinpath("there").mkdir()
    folder.joinpath("there", "kept.txt").write_text("kept")
    folder.joinpath("file").write_text("kept")
    folder.joinpath("link").symlink_to("there")
    folder.joinpath("loop").symlink_to("loop")
    folder.joinpath("dangling").symlink_to("nowhere/at/all")
    os.mkfifo(folder / "pipe")
    with open(folder / "large", "wb") as sparse:
        sparse.truncate(1 << 38)


def _copy(base: Path, name: str, folder: Path) -> None:
    path = base / name
    shutil.copytree(path, folder / name) if path.is_dir() else shutil.copy(path, folder / name)


def _case(made: _Made, rng: random.Random, folder: Path) -> Sequence[str]:
    base, known = made
    parts, given, readers = _WHOLES[rng.choice(sorted(_WHOLES))]
    for name in parts:
        if (base / name).exists() and not (folder / name).exists():
            _copy(base, name, folder)
    argv = rng.choice(_ANY if rng.random() < 0.15 else readers).split()
    for needed in {word.partition("/")[0].partition(":")[0] for word in argv} & set(os.listdir(base)):
        if not (folder / needed).exists():
            _copy(base, needed, folder)
    kind = rng.randrange(8)
    whole = folder / given
    files = [whole] if whole.is_file() else sorted(path for path in whole.rglob("*") if path.is_file())
    if kind < 5:
        path = rng.choice(files)
        held = path.read_bytes()
        if kind < 2:
            path.write_bytes(mutate.data(rng, held))
        elif kind == 2:
            path.write_bytes(rng.choice(_CONTENTS)(held))
        elif kind == 3:  # the content of another kind
            path.write_bytes((base / rng.choice(known)).read_bytes())
        else:
            path.unlink()
            how = rng.randrange(7)
            if how == 0:
                os.mkfifo(path)
            elif how == 1:
                path.symlink_to(path.name)
            elif how == 2:
                path.mkdir()
            elif how == 3:
                path.symlink_to(rng.choice(["/dev/zero", "/dev/full", "/dev/tty", "/proc/self/mem", "/proc/kmsg", "/"]))
            elif how == 4:
                path.symlink_to("/".join([*[".."] * (len(path.relative_to(folder).parts) - 1), "large"]))
    elif kind == 5:  # under another name
        name = rng.choice(_NAMES) + (whole.suffix if rng.random() < 0.7 else "")
        whole.rename(whole.with_name(name))
        given = given[: -len(whole.name)] + name
    argv = [word.replace("{}", given) for word in argv]
    if kind >= 6:
        at = rng.choice(_PATHS)
        argv = [at + word[3:] if word in ("out", "out.onnx") else word for word in argv]
    if rng.random() < 0.1:
        argv.append("--json")
    return argv


def _sound(made: _Made, folder: Path) -> list[list[str]]:
    base, _ = made
    shutil.copytree(base, folder, dirs_exist_ok=True)
    commands = []
    for number, line in enumerate((
        "onnx2paddle m.onnx {} --no-verify", "edit e.onnx {}.onnx --fold --no-verify", "convert p {} --no-verify",
        "to-serving j.json -o {}", "to-onnx p {}.onnx --no-verify", "half p {} --no-verify", "downgrade p {}",
        "inspect s", "check s", "scaffold s/serving_server -o {} --server http", "torch2paddle m.pt2 {} --no-verify",
        "run r.yaml", "init m.onnx",
    )):  # fmt: skip
        commands.append(line.replace("{}", f"out{number}").split())
    return commands


COMMANDS = Format("commands", _prepare, _case, _sound, around=_around)
