"""``.npz`` inputs and safetensors, read as the commands read them before anything is run."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import numpy as np

from mconv.program.dtypes import DType
from tests.fuzz import mutate
from tests.fuzz.harness import Format

_NPY = [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }", b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    b"{'descr': '<f4', 'shape': (2,4)}", b"[" * 5000, b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    b"{'descr': '<U10', 'fortran_order': False, 'shape': (2,), }", b"{'descr': '<f4', 'fortran_order': 3, 'shape': (-2,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",), }", b"1+" * 3000 + b"1",
    b"{'descr': '<V8', 'fortran_order': False, 'shape': (2,4), }", b"{'descr': '\x1b[31m', 'fortran_order': True, 'shape': ()}",
]  # fmt: skip


def _npz(_: Path) -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.ones((2, 4), np.float32), ids=np.arange(6).reshape(2, 3), out_0_y=np.zeros(3))
    return out.getvalue()


def _record(rng: random.Random, name: str, held: bytes) -> bytes:
    if rng.random() < 0.5:
        return mutate.data(rng, held)
    if rng.random() < 0.3:
        return rng.choice([b"", b"\x93NUMPY", b"text", held[:40], held * 2])
    head = rng.choice(_NPY)
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(head), 65535)) + head + bytes(32)


def _npz_case(sound: bytes, rng: random.Random, folder: Path) -> list[str]:
    if rng.random() < 0.1:
        held = rng.choice([_record(rng, "", sound), b"", b"text\n", sound[:-22], b"PK\x05\x06" + bytes(18)])
    else:
        held = mutate.archive(rng, sound, _record, compress=rng.random() < 0.2)
    folder.joinpath("x.npz").write_bytes(held)
    return ["x.npz"]


def _read_inputs(argv: list[str]) -> int:
    """As ``--inputs`` reads them."""
    from mconv.cli.failing import render_error
    from mconv.cli.output import out
    from mconv.proof.feeds import InputSpec, load_feeds

    specs = [InputSpec("x", DType.FP32, (-1, 4)), InputSpec("ids", DType.INT64, ("n", 3))]
    out.configure()
    try:
        for feed in load_feeds(Path(argv[0]), specs):
            out.print(", ".join(f"{name}: {array.dtype} {list(array.shape)}" for name, array in feed.items()))
    except Exception as e:  # noqa: BLE001 - as the command line has it
        return render_error(e, "mconv verify")
    return 0


def _npz_sound(sound: bytes, folder: Path) -> list[list[str]]:
    folder.joinpath("x.npz").write_bytes(sound)
    return [["x.npz"]]


NPZ = Format("npz", _npz, _npz_case, _npz_sound, _read_inputs)

# ------------------------------------------------------------------------------------------------- safetensors


def _safetensors(_: Path) -> tuple[dict, bytes]:
    head = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
        "a.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [48, 56]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [56, 64]},
    }
    return head, bytes(range(64))


def _whole(head: bytes, data: bytes, length: int = -1) -> bytes:
    return struct.pack("<Q", len(head) if length < 0 else length) + head + data


def _safetensors_case(sound: tuple[dict, bytes], rng: random.Random, folder: Path) -> list[str]:
    tree = mutate.tree(rng, json.loads(json.dumps(sound[0])))
    head = mutate.dumps(tree).encode() if rng.random() < 0.9 else mutate.data(rng, json.dumps(sound[0]).encode())
    held = _whole(head, sound[1], rng.choice([-1] * 8 + [0, 1, 2**63, 2**64 - 1, 2**32]))
    folder.joinpath("w.safetensors").write_bytes(mutate.data(rng, held) if rng.random() < 0.15 else held)
    return ["w.safetensors"]


def read_weights(argv: list[str]) -> int:
    """As ``torch2paddle --weights`` reads them, without the seconds that the model takes."""
    from mconv.cli.failing import render_error
    from mconv.cli.output import out
    from mconv.torch.sources import weights

    out.configure()
    try:
        for name, held in weights.read(Path(argv[0])).tensors.items():
            out.print(f"{name}: {held.dtype} {list(held.shape)}")
    except Exception as e:  # noqa: BLE001 - as the command line has it
        return render_error(e, "mconv torch2paddle")
    return 0


def _safetensors_sound(sound: tuple[dict, bytes], folder: Path) -> list[list[str]]:
    folder.joinpath("w.safetensors").write_bytes(_whole(json.dumps(sound[0]).encode(), sound[1]))
    return [["w.safetensors"]]


SAFETENSORS = Format("safetensors", _safetensors, _safetensors_case, _safetensors_sound, read_weights)
