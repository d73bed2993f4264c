"""Rules: the shipped sets are sound; what is wrong in a file is said with where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mconv.dygraph import rules
from mconv.errors import UsageError


@pytest.mark.parametrize("name", rules.shipped())
def test_shipped(name: str) -> None:
    found = rules.load([name])
    assert found.sets[0] == name and found.sets.count(rules.BASE) == 1
    assert found.rename and found.layers and found.drop


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("bert.encoder.layer.3.attention.self.query.weight", "bert.encoder.layers.3.self_attn.q_proj.weight"),
        ("encoder.layer.0.attention.output.LayerNorm.gamma", "encoder.layers.0.norm1.weight"),
        ("encoder.layer.0.output.dense.bias", "encoder.layers.0.linear2.bias"),
        ("embeddings.LayerNorm.bias", "embeddings.layer_norm.bias"),
        ("cls.predictions.transform.dense.weight", "cls.predictions.transform.weight"),
        ("cls.predictions.bias", "cls.predictions.decoder_bias"),
        ("distilbert.transformer.layer.1.ffn.lin2.weight", "distilbert.encoder.layers.1.linear2.weight"),
        ("classifier.dense.weight", "classifier.dense.weight"),
    ],
)
def test_bert(source: str, wanted: str) -> None:
    name = source
    for rename in rules.load(["bert-paddlenlp"]).rename:
        name = rename.apply(name)
    assert name == wanted


def test_own_rules_come_first(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("rename: [['b', 'c']]\n")
    (tmp_path / "mine.yaml").write_text("extends: more.yaml\nrename: [['a', 'b']]\nnames: {x: [y, z]}\nfill: {w: 1}\n")
    found = rules.load([tmp_path / "mine.yaml"])
    name = "a"
    for rename in found.rename:
        name = rename.apply(name)
    assert name == "c" and found.names == {"x": ("y", "z")}
    assert [Path(s).name for s in found.sets] == ["mine.yaml", "more.yaml", rules.BASE]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rename: [", r"map.yaml, line \d+: no YAML"),
        ("- rename", "not a mapping"),
        ("renames: []", "renames: no such entry"),
        ("rename: a", "rename: not a list"),
        ("rename: ['a']", r"rename\[0\]: not \[from, to\]"),
        ("rename: [['(', 'b']]", r"rename\[0\]\.from: '\(' is no regular expression"),
        ("rename: [['a', '\\1']]", r"rename\[0\]\.to: .* does not fit its pattern \(invalid group reference 1"),
        ("rename: [[1, 'b']]", r"rename\[0\]\.from: no pattern"),
        ("rename: [{form: a, to: b}]", r"rename\[0\]\.form: no such entry"),
        ("drop: {a: b}", "drop: not a text or a list"),
        ("drop: [3]", "drop: not a text or a list"),
        ("split: [{from: a, to: [b]}]", r"split\[0\]\.to: needs two names"),
        ("split: [{from: a, to: [b, c], axis: true}]", r"split\[0\]\.axis: not a number"),
        ("names: {a: []}", r"names\['a'\]: no name of the layer"),
        ("fill: {a: b}", r"fill\['a'\]: not a number"),
        ("layers: [{transpose: weight}]", r"layers\[0\]\.of: names no class"),
        ("layers: [{of: A, keep: weight}]", r"layers\[0\]\.keep: no such entry"),
        ("extends: [nowhere]", "nowhere: neither a set of rules nor a file"),
        ("a: !!python/object/apply:os.system ['true']", "no YAML"),
        ("\x00", "no YAML"),
        ("description: 3", "description: not a text"),
    ],
)
def test_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        rules.load([tmp_path / "map.yaml"])
    assert "\n" not in error.value.message


def test_not_found(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a set of rules nor a file") as error:
        rules.load(["bert-paddle"])
    assert error.value.hint == "did you mean bert-paddlenlp?"
    with pytest.raises(UsageError, match="neither"):
        rules.load([tmp_path])


def test_the_documentation_has_an_example_that_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "transplant.md").read_text(encoding="utf-8")
    (tmp_path / "map.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    found = rules.load([tmp_path / "map.yaml"])
    assert found.names["wte.weight"] == ("embed.weight", "head.weight") and "bert-paddlenlp" in found.sets
    assert found.layers[0].classes == ("MyNorm", "my.package.OtherNorm")
    for name in rules.shipped():
        assert f"| `{name}` |" in page
