"""What a SOURCE is, by its content and whatever it is called; and every form opened, from real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.errors import (
    CorruptModelError,
    MissingDependencyError,
    NotAModelError,
    UntrustedError,
    UsageError,
    WeightsError,
)
from mconv.program.dtypes import DType
from mconv.torch.sources import Form, open_source, recognise

torch = pytest.importorskip("torch")
from tests.torch import nets  # noqa: E402

NETS = Path(nets.__file__)


def write(form: Form, path: Path) -> Path:
    """A file or folder of that form at *path*."""
    torch.manual_seed(0)
    net = nets.Mlp().eval()
    if form is Form.EXPORTED:
        rows = {"x": {0: torch.export.Dim("rows")}}
        torch.export.save(torch.export.export(net, (torch.randn(2, 6),), dynamic_shapes=rows), path)
    elif form is Form.SCRIPT:
        torch.jit.script(nets.Convolutional().eval()).save(path)
    elif form is Form.SAVED:
        torch.save(net.state_dict(), path)
    elif form is Form.SAFETENSORS:
        from safetensors.torch import save_file

        save_file(net.state_dict(), path)
    elif form is Form.HUGGING_FACE:
        from transformers import BertConfig, BertForSequenceClassification

        BertForSequenceClassification(BertConfig(**nets.SMALL, num_labels=3)).save_pretrained(path)
    return path


FILES = (Form.EXPORTED, Form.SCRIPT, Form.SAVED, Form.SAFETENSORS)


@pytest.mark.parametrize("name", ["model.bin", "model", "model.pt2.zip", "model.onnx"])
@pytest.mark.parametrize("form", FILES)
def test_the_content_decides(form: Form, name: str, tmp_path: Path) -> None:
    plain = write(form, tmp_path / {Form.EXPORTED: "a.pt2"}.get(form, "a"))
    assert recognise(plain.rename(tmp_path / name)) is form


def test_nothing_is_imported_to_recognise(tmp_path: Path) -> None:
    path = write(Form.EXPORTED, tmp_path / "a.pt2")
    code = (
        "import sys; from mconv.torch.sources import recognise;"
        f"assert recognise({str(path)!r}).name == 'EXPORTED'; assert recognise('a.b:c').name == 'FACTORY';"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_pytorchs(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "empty.pt").write_bytes(b"")
    nlp = tmp_path / "nlp"
    nlp.mkdir()
    (nlp / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (nlp / "model_state.pdparams").write_bytes(b"\x80\x02.")
    assert recognise(nlp) is None  # PaddleNLP's
    for path in (tmp_path, tmp_path / "x.json", tmp_path / "empty.pt", "nowhere/to/be/found", tmp_path / "a.py"):
        assert recognise(path) is None
        with pytest.raises(NotAModelError) as caught:
            open_source(path)
        assert caught.value.hint


# every form ---------------------------------------------------------------------------------------------------------


def test_exported_archive(tmp_path: Path) -> None:
    source = open_source(write(Form.EXPORTED, tmp_path / "net.pt2"))
    assert source.form is Form.EXPORTED and source.program is not None
    (x,) = source.inputs
    assert x.name == "x" and x.dtype is DType.FP32 and isinstance(x.dims[0], str) and x.dims[1] == 6
    assert source.examples is not None and source.examples["x"].shape == (2, 6)
    torch.manual_seed(0)
    given = torch.randn(5, 6)
    torch.testing.assert_close(source({"x": given})["logits"], nets_mlp()(given)["logits"])


def nets_mlp() -> Any:
    torch.manual_seed(0)
    return nets.Mlp().eval()


def test_torchscript(tmp_path: Path) -> None:
    source = open_source(write(Form.SCRIPT, tmp_path / "net.pt"))
    assert source.form is Form.SCRIPT and source.label == "Convolutional" and source.guessed
    assert [(i.name, i.dims) for i in source.inputs] == [("image", ("batch", 3, "height", "width"))]
    assert source({"image": torch.zeros(2, 3, 9, 9)}).shape == (2, 5)


@pytest.mark.parametrize("spec", [f"{NETS}:Mlp", "tests.torch.nets:Mlp"])
def test_factory(spec: str) -> None:
    source = open_source(spec, arguments=["width=3"])
    assert source.form is Form.FACTORY and source.module.first.out_features == 3 and not source.module.training
    assert [str(i) for i in source.inputs] == ["x:float32[batch,6]"] and source.guessed
    assert [Path(str(f)).name for f in source.files] == ["nets.py"]


def test_live_module() -> None:
    net = nets.Convolutional().train()
    source = open_source(net)
    assert source.module is net and not net.training and source.label == "Convolutional"


def test_guessed_ids_know_their_table() -> None:
    ids, mask = open_source("tests.torch.nets:Looked").inputs
    assert (ids.name, ids.dtype, ids.limit, mask.name) == ("input_ids", DType.INT64, 9, "attention_mask")


@pytest.mark.parametrize(
    ("spec", "options", "error", "said"),
    [
        ("tests.torch.nets:not_a_module", {}, NotAModelError, "makes a dict, not a torch.nn.Module"),
        ("tests.torch.nets:Nowhere", {}, NotAModelError, "has no 'Nowhere'"),
        ("tests.torch.nets:Mlp", {"arguments": ["depth=2"]}, UsageError, "'depth'"),
        ("tests.torch.nets:Mlp", {"task": "fill-mask"}, UsageError, "only a Hugging Face folder"),
        ("no.such.module:f", {}, NotAModelError, "there is no module 'no.such.module'"),
    ],
)
def test_factories_that_are_none(spec: str, options: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said.replace(".", r"\.")):
        open_source(spec, **options)


# weights ------------------------------------------------------------------------------------------------------------


def weights_of(kind: str, folder: Path) -> tuple[Path, Any]:
    """Weights of an Mlp in a file of that kind, and the module they are of."""
    torch.manual_seed(3)
    net = nets.Mlp().eval()
    state = net.state_dict()
    path = folder / kind
    if kind == "plain.pt":
        torch.save(state, path)
    elif kind == "old.pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif kind == "checkpoint.ckpt":  # of a trainer, with numpy's numbers in it
        wrapped = {f"module.{k}": v for k, v in state.items()}
        torch.save({"epoch": 3, "loss": np.float32(0.5), "best": np.ones(2), "state_dict": wrapped}, path)
    elif kind == "half.bin":
        net.half().float()
        torch.save({k: v.half() for k, v in net.state_dict().items()}, path)
    elif kind.startswith("sharded"):
        from safetensors.torch import save_file

        path.mkdir()
        names = list(state)
        shards = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
        for shard, held in shards.items():
            save_file({n: state[n] for n in held}, path / shard)
        index = {"metadata": {}, "weight_map": {n: s for s, held in shards.items() for n in held}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
        path = path if kind == "sharded-folder" else path / "model.safetensors.index.json"
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    return path, net


@pytest.mark.parametrize(
    "kind",
    [
        "plain.pt", "old.pth", "checkpoint.ckpt", "half.bin", "plain.safetensors", "no-suffix", "sharded",
        "sharded-folder",
    ],
)  # fmt: skip
def test_weights(kind: str, tmp_path: Path) -> None:
    path, net = weights_of(kind, tmp_path)
    source = open_source(f"{NETS}:Mlp", weights=path)
    given = torch.randn(2, 6)
    torch.testing.assert_close(source({"x": given}), dict(net(given)), rtol=0, atol=0)
    if kind == "checkpoint.ckpt":
        assert any("'state_dict'" in n for n in source.notes) and any("'module.'" in n for n in source.notes)
    assert len(source.files) == (4 if kind.startswith("sharded") else 2)


def test_weights_of_another_module(tmp_path: Path) -> None:
    path, net = weights_of("plain.safetensors", tmp_path)
    with pytest.raises(WeightsError, match=r"first\.weight is \[8, 6\], Mlp has \[3, 6\]"):
        open_source(f"{NETS}:Mlp", weights=path, arguments={"width": 3})
    with pytest.raises(WeightsError, match="none of its 4 tensors"):
        open_source(f"{NETS}:Convolutional", weights=path)
    state = net.state_dict()
    del state["last.bias"]
    torch.save({**state, "extra": torch.ones(1)}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"last\.bias is missing; extra is not the module's") as caught:
        open_source(f"{NETS}:Mlp", weights=tmp_path / "part.pt")
    assert "--partial" in str(caught.value.hint) and caught.value.exit_code == 13
    assert [(r["parameter"], r["problem"]) for r in caught.value.rows] == [
        ("last.bias", "missing in the file"), ("extra", "unexpected"),
    ]  # fmt: skip
    source = open_source(f"{NETS}:Mlp", weights=tmp_path / "part.pt", partial=True)
    assert any("last.bias is missing" in n for n in source.notes)
    torch.testing.assert_close(source.module.first.weight, net.first.weight)


def test_shards_stay_in_their_folder(tmp_path: Path) -> None:
    path, _ = weights_of("sharded", tmp_path)
    outside = tmp_path / "outside.safetensors"
    shutil.copy(path.parent / "model-00001-of-00002.safetensors", outside)
    index = json.loads(path.read_text())
    for shard, error in (
        ("../outside.safetensors", UntrustedError),
        (str(outside), UntrustedError),
        ("gone", CorruptModelError),
    ):
        index["weight_map"]["first.weight"] = shard
        path.write_text(json.dumps(index))
        with pytest.raises(error):
            open_source(f"{NETS}:Mlp", weights=path)


@pytest.mark.parametrize("form", [Form.SAVED, Form.SAFETENSORS])
def test_weights_alone_say_what_is_missing(form: Form, tmp_path: Path) -> None:
    path = write(form, tmp_path / "weights")
    with pytest.raises(NotAModelError, match=r"a state dict, 4 tensors .* \(first\.\w+ \[") as caught:
        open_source(path)
    assert f"mconv torch2paddle pkg.module:factory OUT --weights {path}" in str(caught.value.hint)


def test_known_weights_name_their_network(tmp_path: Path) -> None:
    state = {k: torch.ones(1) for k in ("conv1.weight", "layer1.0.conv1.weight", "fc.weight")}
    torch.save(state, tmp_path / "resnet.pth")
    with pytest.raises(NotAModelError) as caught:
        open_source(tmp_path / "resnet.pth")
    assert "torchvision.models:resnet50" in str(caught.value.hint)


@pytest.mark.parametrize("form", FILES)
def test_damaged_files(form: Form, tmp_path: Path) -> None:
    path = write(form, tmp_path / "net.pt2")
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 30, 200):
        path.write_bytes(whole[:size])
        with pytest.raises((CorruptModelError, NotAModelError)):
            open_source(path)


# folders ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return write(Form.HUGGING_FACE, tmp_path_factory.mktemp("hf") / "bert")


def test_hugging_face_folder(bert: Path) -> None:
    source = open_source(bert)
    assert recognise(bert) is source.form is Form.HUGGING_FACE and source.label == "BertForSequenceClassification"
    assert [(i.name, i.limit) for i in source.inputs] == [
        ("input_ids", 100), ("attention_mask", None), ("token_type_ids", 2),
    ]  # fmt: skip
    assert all(i.dims == ("batch", "sequence") and i.dtype is DType.INT64 for i in source.inputs)
    assert {Path(p).name for _, p in source.files} == {"config.json", "model.safetensors"}
    # a file of the folder stands for it
    assert open_source(bert / "model.safetensors").form is Form.HUGGING_FACE


def test_task_overrides_the_architecture(bert: Path) -> None:
    assert open_source(bert, task="feature-extraction").label == "BertModel"
    assert open_source(bert, task="BertForSequenceClassification").label == "BertForSequenceClassification"
    with pytest.raises(WeightsError, match=r"has no weights for cls\.") as caught:
        open_source(bert, task="fill-mask")
    assert "--task" in str(caught.value.hint)
    with pytest.raises(UsageError, match="unknown"):
        open_source(bert, task="juggling")
    with pytest.raises(UsageError, match="has its own weights"):
        open_source(bert, weights=bert / "model.safetensors")


def test_arguments_change_the_configuration(bert: Path) -> None:
    source = open_source(bert, arguments=["attn_implementation=eager"])
    assert source.module.config._attn_implementation == "eager"


@pytest.mark.parametrize("layout", ["bin", "shards"])
def test_layouts_of_weights(bert: Path, layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(bert / "config.json", folder)
    module = open_source(bert).module
    if layout == "bin":
        torch.save(module.state_dict(), folder / "pytorch_model.bin")
    else:
        module.save_pretrained(folder, max_shard_size="20KB")
        assert len(list(folder.glob("*.safetensors"))) > 2
    source = open_source(folder)
    ids = torch.randint(0, 100, (2, 7))
    torch.testing.assert_close(source({"input_ids": ids}).logits, module(ids).logits, rtol=0, atol=0)


def test_folders_that_are_none(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(bert / "config.json", folder)
    with pytest.raises(NotAModelError, match="no weights of PyTorch"):
        open_source(folder)
    (folder / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(CorruptModelError):
        open_source(folder)
    config = json.loads((bert / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertOfTomorrow"]}))
    with pytest.raises(MissingDependencyError, match="has no BertOfTomorrow"):
        open_source(folder)
    (folder / "config.json").unlink()
    with pytest.raises(NotAModelError, match=r"weights without a config\.json"):
        open_source(folder)


@pytest.mark.parametrize("modes", [["mean"], ["cls", "max"], ["weightedmean", "lasttoken"], ["mean_sqrt_len_tokens"]])
def test_sentence_transformers_as_the_library_has_them(modes: list[str], bert: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = tmp_path / "sentences"
    shutil.copytree(bert, folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnop"]
    (folder / "vocab.txt").write_text("\n".join(words))
    from transformers import BertTokenizerFast

    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    parts = library.sentence_transformer.modules if hasattr(library, "sentence_transformer") else library.models
    transformer = parts.Transformer(str(folder))
    pooling = parts.Pooling(32, pooling_mode=tuple(modes))
    dense = parts.Dense(32 * len(modes), 8)
    reference = library.SentenceTransformer(modules=[transformer, pooling, dense, parts.Normalize()], device="cpu")
    saved = tmp_path / "saved"
    reference.save(str(saved))
    source = open_source(saved)
    assert recognise(saved) is source.form is Form.SENTENCES and source.outputs == ["sentence_embedding"]
    texts = ["a b c", "d e f g h i j", "k"]
    want = reference.encode(texts, convert_to_numpy=True)
    tokens = reference.tokenizer(texts, padding=True, return_tensors="pt")
    got = source({i.name: tokens[i.name] for i in source.inputs})["sentence_embedding"].numpy()
    assert want.shape == (3, 8) and np.abs(want - got).max() < 1e-6
    # the transformer alone, for who wants the tokens
    assert open_source(saved, task="feature-extraction").form is Form.HUGGING_FACE


def test_timm() -> None:
    if not (os.environ.get("MCONV_TEST_TIMM") or _has("timm")):
        with pytest.raises(NotAModelError, match="timm is not installed"):
            open_source("resnet18")
        with pytest.raises(MissingDependencyError, match="timm"):
            open_source("timm:resnet18")
        return
    source = open_source("resnet18", arguments=["pretrained=False", "num_classes=3"])
    assert source.form is Form.TIMM and source({"x": torch.zeros(1, 3, 64, 64)}).shape == (1, 3)


def _has(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None
