"""Files that bring code: refused without trust, and nothing of it runs. Each plants a command that leaves a mark."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mconv.cli.main import run
from mconv.errors import MconvError, UntrustedError
from mconv.torch.sources import graph_texts, open_source

torch = pytest.importorskip("torch")
from tests.torch import nets  # noqa: E402


class Planted:
    """An object whose pickle runs a command."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


class PlantedModule(torch.nn.Module):
    def __init__(self, mark: Path):
        super().__init__()
        self.layer, self.planted = torch.nn.Linear(2, 2), Planted(mark)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.fixture()
def mark(tmp_path: Path) -> Path:
    return tmp_path / "the-command-ran"


def archive(path: Path) -> Path:
    torch.manual_seed(0)
    rows = {"x": {0: torch.export.Dim("rows")}}
    torch.export.save(torch.export.export(nets.Mlp().eval(), (torch.randn(2, 6),), dynamic_shapes=rows), path)
    return path


def changed(path: Path, changes: dict[str, Callable[[bytes], bytes]], extra: dict[str, bytes] | None = None) -> Path:
    """The archive with some records rewritten: those whose names end so."""
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            content = old.read(name)
            for end, change in changes.items():
                if name.endswith(end):
                    content = change(content)
            new.writestr(name, content)
        for name, content in (extra or {}).items():
            new.writestr(f"{root}/{name}", content)
    return out


def saved(value: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def command(mark: Path) -> str:
    return f"__import__('os').system('touch {mark}')"


def in_json(path: str, change: Callable[[Any], None]) -> dict[str, Callable[[bytes], bytes]]:
    def rewrite(content: bytes) -> bytes:
        held = json.loads(content)
        change(held)
        return json.dumps(held).encode()

    return {path: rewrite}


def first_size(held: Any, text: str) -> None:
    """Put a text where the graph has the expression of a size."""
    for meta in held["graph_module"]["graph"]["tensor_values"].values():
        for size in meta["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = text
                return
    raise AssertionError("no open size")


def first_node(held: Any, key: str, text: str) -> None:
    held["graph_module"]["graph"]["nodes"][0][key] = text


def weights_config(held: Any) -> None:
    for entry in held["config"].values():
        entry["use_pickle"] = True
        break


def file(kind: str, folder: Path, mark: Path) -> Path:
    """A malicious file of that kind."""
    path = folder / "model.pt2"
    if kind == "pickled module":
        torch.save(PlantedModule(mark), folder / "net.pt")
        return folder / "net.pt"
    if kind == "state dict":
        torch.save({"w": torch.ones(2), "evil": Planted(mark)}, folder / "net.pth")
        return folder / "net.pth"
    if kind == "old state dict":
        held = {"w": torch.ones(2), "evil": Planted(mark)}
        torch.save(held, folder / "old.pth", _use_new_zipfile_serialization=False)
        return folder / "old.pth"
    if kind == "TorchScript":

        class Writes(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                torch.save(x, "MARK")
                return x

        script = torch.jit.script(Writes())
        script.save(folder / "plain.pt")
        return folder / "plain.pt"
    archive(path)
    if kind == "sample inputs":
        return changed(path, {"sample_inputs/model.pt": lambda _: saved((Planted(mark),))})
    if kind == "pickled weight":
        both = in_json("model_weights_config.json", weights_config)
        return changed(path, {**both, "weights/weight_0": lambda _: saved(Planted(mark))})
    if kind == "pickled constant":
        return changed(path, {}, {"data/constants/opaque_obj_0": pickle.dumps(Planted(mark))})
    if kind == "compiled code":
        return changed(path, {}, {"data/aotinductor/model/x.so": b"\x7fELF"})
    if kind == "expression":
        return changed(path, in_json("models/model.json", lambda h: first_size(h, command(mark))))
    if kind == "expression in an expression":
        return changed(path, in_json("models/model.json", lambda h: first_size(h, f'Max("{command(mark)}", 3)')))
    if kind == "function":
        return changed(path, in_json("models/model.json", lambda h: first_node(h, "target", "torch.os.system")))
    if kind == "library":
        target = "torch.ops.load_library"
        return changed(path, in_json("models/model.json", lambda h: first_node(h, "target", target)))
    assert kind == "name of an input"
    renamed = json.dumps(f"x={command(mark)}").encode()
    return changed(path, {"models/model.json": lambda c: c.replace(b'"name": "x"', b'"name": ' + renamed)})


KINDS = (
    "pickled module", "state dict", "old state dict", "TorchScript", "sample inputs", "pickled weight",
    "pickled constant", "compiled code", "expression", "expression in an expression", "function", "library",
    "name of an input",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_refused_and_never_executed(kind: str, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = file(kind, tmp_path, mark)
    with pytest.raises(UntrustedError) as caught:
        open_source(path)
    assert caught.value.exit_code == 11 and "--trust" in str(caught.value.hint)
    assert run(["torch2paddle", str(path), "out", "--input", "x:float32[?,6]"]) == 11
    assert not mark.exists() and not (tmp_path / "MARK").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["pickled module", "sample inputs", "pickled weight", "expression"])
def test_the_commands_would_run(kind: str, tmp_path: Path, mark: Path) -> None:
    """The files are what they claim to be: torch itself runs them, and so does ``--trust``."""
    path = file(kind, tmp_path, mark)
    try:
        if kind == "pickled module":
            torch.load(path, weights_only=False)
        else:
            torch.export.load(path)
    except Exception:  # noqa: BLE001 - what it becomes does not matter
        pass
    assert mark.exists()
    mark.unlink()
    try:
        open_source(path, trust=True)
    except Exception:  # noqa: BLE001
        pass
    assert mark.exists()


def test_weights_are_read_in_the_same_way(tmp_path: Path, mark: Path) -> None:
    path = file("state dict", tmp_path, mark)
    with pytest.raises(UntrustedError):
        open_source("tests.torch.nets:Mlp", weights=path)
    folder = tmp_path / "hf"
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**nets.SMALL)).save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    shutil.copy(path, folder / "pytorch_model.bin")
    with pytest.raises(UntrustedError):
        open_source(folder)
    assert not mark.exists()


def test_code_in_a_folder(tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "hf"
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**nets.SMALL)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="mine", architectures=["Mine"], auto_map={"AutoConfig": "m.C", "AutoModel": "m.Mine"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "m.py").write_text(f"import os; os.system('touch {mark}')")
    with pytest.raises(UntrustedError, match="Python code in the folder"):
        open_source(folder)
    sentences = tmp_path / "st"
    sentences.mkdir()
    entries = [{"idx": 0, "name": "0", "path": "../hf", "type": "sentence_transformers.models.Transformer"}]
    (sentences / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(UntrustedError, match="outside of the folder"):
        open_source(sentences)
    assert not mark.exists()


def test_code_beside_a_known_architecture(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not run unasked; that it was not is said, as it may compute something else."""
    folder = tmp_path / "hf"
    from transformers import BertConfig, BertModel, dynamic_module_utils

    BertModel(BertConfig(**nets.SMALL)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "m.Mine"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "m.py").write_text(
        f"import os\nfrom transformers import BertModel\nos.system('touch {mark}')\nclass Mine(BertModel):\n    pass\n"
    )
    source = open_source(folder)
    assert source.label == "BertModel" and not mark.exists()
    assert [n for n in source.notes if "its own Python code (auto_map) was not used" in n and "--trust" in n]
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    own = open_source(folder, trust=True)
    assert own.label == "Mine" and mark.exists()
    assert not [n for n in own.notes if "auto_map" in n]


@pytest.mark.parametrize("seed", range(12))
def test_damaged_graphs_end_in_a_clear_error(seed: int, tmp_path: Path) -> None:
    """A part of the graph's description is gone, or of another type."""
    rng = random.Random(seed)

    def damage(held: Any) -> None:
        for _ in range(rng.randrange(1, 4)):
            inside = held
            while True:
                keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
                key = rng.choice(keys)
                inner = inside[key]
                if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.15:
                    break
                inside = inner
            if isinstance(inside, dict) and rng.random() < 0.5:
                del inside[key]
            else:
                inside[key] = rng.choice([None, 7, "x", [], {}])

    path = changed(archive(tmp_path / "model.pt2"), in_json("models/model.json", damage))
    try:
        source = open_source(path)
        source({i.name: torch.zeros([d if isinstance(d, int) else 2 for d in i.dims]) for i in source.inputs})
    except MconvError as e:
        assert e.message and "\n" not in e.message
    except Exception as e:  # noqa: BLE001 - a graph that is sound as far as torch can tell, and computes something else
        assert "source.py" in "".join(traceback.format_tb(e.__traceback__))


def test_a_pickled_module_with_trust(tmp_path: Path) -> None:
    net = nets.Mlp().eval()
    torch.save(net, tmp_path / "net.pt")
    with pytest.raises(UntrustedError, match=r"a pickled object of the class tests\.torch\.nets\.Mlp"):
        open_source(tmp_path / "net.pt")
    source = open_source(tmp_path / "net.pt", trust=True)
    given = torch.randn(3, 6)
    torch.testing.assert_close(source({"x": given})["logits"], net(given)["logits"])
    # the switch is only for this file
    with pytest.raises(UntrustedError):
        open_source(tmp_path / "net.pt")


def test_pdparams_are_refused(tmp_path: Path, mark: Path) -> None:
    """Paddle's weights, which another command reads."""
    pytest.importorskip("paddle")
    from mconv.dygraph import weights

    path = tmp_path / "net.pdparams"
    path.write_bytes(pickle.dumps({"w": Planted(mark)}, protocol=2))
    with pytest.raises(UntrustedError):
        weights.read(path, trust=False)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("Symbol('s31', positive=True, integer=True)", True),
        ("Mul(Integer(2), Symbol('s0', integer=True))", True),
        ("FloorDiv(s0 - 3, 2) + 1", True),
        ("Max(1, s0)", True),
        ("s0.__class__", False),
        ("().__class__.__base__.__subclasses__()", False),
        ("exec('1')", False),
        ("Symbol('a b')", False),
        ("Max('s0')", False),
        ("[s0]", False),
        ("lambda: 1", False),
        ("f'{s0}'", False),
        ("Symbol(Symbol)('x')", False),
        ("Max(*s0)", False),
        ("Symbol('s0', **s1)", False),
    ],
)
def test_expressions_of_sizes(text: str, sound: bool) -> None:
    assert (graph_texts.problem({"expr_str": text}) is None) is sound


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("torch.ops.aten.add.Tensor", True),
        ("torch.ops.aten.__and__.Tensor", True),
        ("torch.ops.higher_order.wrap_with_set_grad_enabled", True),
        ("torch.ops.mylib.op.default", True),
        ("torch.sym_max", True),
        ("_operator.mul", True),
        ("math.ceil", True),
        ("torch.ops.aten.__class__", False),
        ("torch.ops.aten.from_file.default", False),
        ("torch.ops.load_library", False),
        ("torch.load", False),
        ("torch.hub.load", False),
        ("torch.utils._pytree.importlib.import_module", False),
        ("_operator.attrgetter", False),
        ("_operator.methodcaller", False),
        ("#higher.op", False),
    ],
)
def test_functions_of_a_graph(text: str, sound: bool) -> None:
    assert (graph_texts.problem({"target": text}) is None) is sound
