"""Small PIR programs that Paddle 3.0 to 3.3 saved (``zoo.py``), kept without their parameters, which are made up here."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from mconv.paddle import pir_reader as reader
from mconv.program.params import ArraySource
from mconv.program.params_writing import write_combined

DATA = Path(__file__).parent.parent / "data" / "pir"
VERSIONS = sorted(p.name for p in DATA.iterdir())
MODELS = sorted(p.name.partition(".")[0] for p in (DATA / VERSIONS[0]).iterdir())


def program(version: str, name: str) -> bytes:
    """The ``.json``, as that Paddle wrote it."""
    return gzip.decompress((DATA / version / f"{name}.json.gz").read_bytes())


def unpack(version: str, name: str, folder: Path) -> Path:
    """Write ``NAME.json`` and ``NAME.pdiparams`` into *folder*; gives the ``.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    data = program(version, name)
    path = folder / f"{name}.json"
    path.write_bytes(data)
    items = []
    for parameter, kind in reader.parse(data).parameters:
        rng = np.random.default_rng(zlib.crc32(repr((parameter[-4:], kind.shape)).encode()))
        # running variances have to be positive; small numbers keep deep models tame
        values = rng.uniform(0.05, 0.4, kind.shape) * (1 if len(kind.shape) == 1 else rng.choice([-1, 1], kind.shape))
        assert kind.dtype is not None
        items.append((parameter, ArraySource(values.astype(kind.dtype.numpy), kind.dtype)))
    write_combined(folder / f"{name}.pdiparams", items)
    return path


def feeds(name: str) -> list[dict[str, np.ndarray]]:
    """Inputs at two sizes of batch and length."""
    made = []
    for batch, length in ((2, 5), (3, 9)):
        rng = np.random.default_rng(batch)
        image = {"LeNet": (batch, 1, 28, 28), "crnn": (batch, 1, 32, 16 * length), "unet": (batch, 3, 16 * length, 48)}
        if name in image:
            made.append({"image": rng.standard_normal(image[name]).astype(np.float32)})
        elif name == "branches":
            steps = np.array([length], np.int64)
            made.append({"x": rng.standard_normal((batch, 4)).astype(np.float32), "steps": steps})
        else:
            ids = rng.integers(0, 200, (batch, length))
            made.append({"input_ids": ids, "token_type_ids": ids % 2} if name == "bert" else {"input_ids": ids})
    return made
