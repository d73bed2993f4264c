"""Paddle 3's ``.json`` programs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.harness import Format
from tests.paddle.fixtures import unpack

_MODELS = [("3.3", "LeNet"), ("3.0", "branches"), ("3.2", "crnn")]


def _prepare(folder: Path) -> list[tuple[str, bytes]]:
    """(program, parameters) of a few."""
    made = []
    for version, name in _MODELS:
        path = unpack(version, name, folder / version)
        made.append((path.read_text(), path.with_suffix(".pdiparams").read_bytes()))
    return made


def _change(rng: random.Random, old: Any) -> Any:
    """A value of the same kind, as far as PIR has others: types and numbers of values."""
    if isinstance(old, str) and "." in old:
        return rng.choice(
            ["0.t_dtensor", "0.t_vec", "0.t_f32", "0.t_i64", "0.a_i32", "0.a_array", "0.a_f32", "0.a_str", "0.a_scalar",
             "1.add", "1.matmul", "1.full", "1.if", "1.while", "2.yield", "0.combine", "1.concat", "1.cast", "NULL"]
        )  # fmt: skip
    if isinstance(old, int) and not isinstance(old, bool):
        return rng.choice([old + 1, old - 1, rng.randrange(60), -1, 0])
    return mutate.value(rng)


def _case(models: list[tuple[str, bytes]], rng: random.Random, folder: Path) -> list[str]:
    program, params = models[min(rng.randrange(6), 2)]
    tree = mutate.tree(rng, json.loads(program), _change)
    if rng.random() < 0.6:  # deeper than the head of the file, where most operators are
        ops = json.loads(program)
        for _ in range(rng.choice([1, 1, 2])):
            at = rng.randrange(len(ops["program"]["regions"][0]["blocks"][0]["ops"]))
            ops["program"]["regions"][0]["blocks"][0]["ops"][at] = mutate.tree(
                rng, ops["program"]["regions"][0]["blocks"][0]["ops"][at], _change
            )
        tree = ops
    held = mutate.dumps(tree).encode()
    folder.joinpath("m.json").write_bytes(mutate.data(rng, held) if rng.random() < 0.08 else held)
    folder.joinpath("m.pdiparams").write_bytes(params)
    return rng.choice(
        [
            ["to-serving", "m.json", "-o", "out"],
            ["downgrade", "m.json", "out", "--target", rng.choice(["2.3", "2.6", "1.8"])],
            ["inspect", "m.json"],
            ["inspect", "m.json", "--text"],
            ["inspect", "m.json", "--json", "--ops", "--vars"],
        ]
    )


def _sound(models: list[tuple[str, bytes]], folder: Path) -> list[list[str]]:
    commands = []
    for i, (program, params) in enumerate(models):
        folder.joinpath(f"m{i}.json").write_text(program)
        folder.joinpath(f"m{i}.pdiparams").write_bytes(params)
        commands += [["to-serving", f"m{i}.json", "-o", f"out{i}"], ["downgrade", f"m{i}.json", f"down{i}"]]
    return [*commands, ["inspect", "m0.json", "--text"], ["inspect", "m0.json", "--json"]]


PIR = Format("pir", _prepare, _case, _sound)
