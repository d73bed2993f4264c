"""``.pt`` and ``.pth`` of ``torch.save``, TorchScript, and ``.pt2`` archives."""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.formats.arrays import read_weights
from tests.fuzz.harness import Format


def _saved(_: Path) -> list[bytes]:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    held = [net.state_dict(), {"state_dict": net.state_dict(), "epoch": 3}, [torch.ones(2), {"a": torch.zeros(1)}]]
    made = []
    for one in held:
        for new in (True, False):
            out = io.BytesIO()
            torch.save(one, out, _use_new_zipfile_serialization=new)
            made.append(out.getvalue())
    return made


def _pickle(rng: random.Random, name: str, held: bytes) -> bytes:
    """A pickle with one of its operations dropped, repeated, or its argument changed."""
    if not name.endswith("data.pkl") or rng.random() < 0.4:
        return mutate.data(rng, held)
    try:
        offsets = [at for _, _, at in pickletools.genops(held)] + [len(held)]
    except ValueError:
        return held
    i = rng.randrange(len(offsets) - 1)
    piece = held[offsets[i] : offsets[i + 1]]
    other = rng.randrange(len(offsets) - 1)
    new = rng.choice(
        [b"", piece * 2, held[offsets[other] : offsets[other + 1]], b"cos\nsystem\n", b"ctorch\nload\n", b"N", b"]", b"}", b"0",
         b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"X\x04\x00\x00\x00\x1b[3m", b"cnumpy\nndarray\n"]
    )  # fmt: skip
    return held[: offsets[i]] + new + held[offsets[i + 1] :]


def _torch_case(sound: list[bytes], rng: random.Random, folder: Path) -> list[str]:
    held = rng.choice(sound)
    if held[:2] == b"PK":
        held = mutate.archive(rng, held, _pickle, compress=rng.random() < 0.1)
    else:
        held = _pickle(rng, "data.pkl", held)
    folder.joinpath("w.pth").write_bytes(held)
    return ["w.pth"]


def _torch_sound(sound: list[bytes], folder: Path) -> list[list[str]]:
    for i, held in enumerate(sound[:4]):
        folder.joinpath(f"w{i}.pth").write_bytes(held)
    return [[f"w{i}.pth"] for i in range(4)]


TORCH = Format("torch", _saved, _torch_case, _torch_sound, read_weights)

# ------------------------------------------------------------------------------------------------- .pt2, TorchScript

_EXPRESSIONS = [
    "s0", "9**9**9**9", "__import__('os').system('id')", "s0 + 1", "(" * 5000, "1/0", "s0 // 0", "Mod(s0, 0)", "x" * 100_000, "",
    "s0\x1b[31m", "zoo", "oo", "nan", "Max(" * 500, "2**100000", "factorial(100000)", "s0 if 1 else 2", "lambda: 1", "True", "'a'",
]  # fmt: skip


def _exported(_: Path) -> list[tuple[str, bytes]]:
    import torch

    from tests.torch import nets

    torch.manual_seed(0)
    rows = {"x": {0: torch.export.Dim("rows")}}
    made = []
    out = io.BytesIO()
    torch.export.save(torch.export.export(nets.Mlp().eval(), (torch.randn(2, 6),), dynamic_shapes=rows), out)
    made.append(("m.pt2", out.getvalue()))
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(nets.Mlp().eval(), torch.randn(2, 6), strict=False), out)
    made.append(("m.pt", out.getvalue()))
    return made


def _record(rng: random.Random, name: str, held: bytes) -> bytes:
    if name.endswith(".json") and rng.random() < 0.8:
        try:
            tree = json.loads(held)
        except ValueError:
            return mutate.data(rng, held)
        return mutate.dumps(mutate.tree(rng, tree, _value)).encode("utf-8", "surrogatepass")
    if name.endswith(".py") and rng.random() < 0.5:
        return mutate.lines(rng, held.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")
    if held[:2] == b"PK" and rng.random() < 0.7:
        return mutate.archive(rng, held, _pickle)
    return _pickle(rng, name, held)


def _value(rng: random.Random, old: Any) -> Any:
    if isinstance(old, str):
        return rng.choice(_EXPRESSIONS) if rng.random() < 0.6 else mutate.text(rng, old)
    return mutate.value(rng)


def _exported_case(sound: list[tuple[str, bytes]], rng: random.Random, folder: Path) -> list[str]:
    name, held = sound[min(rng.randrange(3), 1)]
    held = mutate.archive(rng, held, _record, compress=rng.random() < 0.1)
    if rng.random() < 0.03:
        held = held.replace(struct.pack("<I", 0x04034B50), b"PK\x03\x05", 1)
    folder.joinpath(name).write_bytes(held)
    return ["torch2paddle", name, "out", "--no-verify", *(["--input", "x:float32[?,6]"] if name == "m.pt" else [])]


def _exported_sound(sound: list[tuple[str, bytes]], folder: Path) -> list[list[str]]:
    for name, held in sound:
        folder.joinpath(name).write_bytes(held)
    return [
        ["torch2paddle", "m.pt2", "out", "--no-verify"],
        ["torch2paddle", "m.pt", "out2", "--no-verify", "--input", "x:float32[?,6]"],
    ]


EXPORTED = Format("exported", _exported, _exported_case, _exported_sound)
