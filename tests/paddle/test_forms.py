"""Every function in both forms for every target: the committed list, a sample on every run, all of it with ``-m slow``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.managed import require
from tests.paddle import forms

LISTED = json.loads(forms.LIST.read_text())
BOTH = [name for name in LISTED["json"]["saved"] if name in set(LISTED["pdmodel"]["saved"])]
# target → function → why its two forms do not fare alike there
DIFFERENT: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("forms_different.json").read_text())
# what goes through a converter in 2.3, and what is left as it is
SAMPLE = ["T.cummax", "T.cummin", "F.channel_shuffle", "F.pixel_unshuffle", "T.masked_fill", "T.dot", "T.slogdet", "T.floor_divide[int]", "V.nms", "T.ldexp", "T.index_put", "T.flip", "F.layer_norm"]  # fmt: skip


def verdict(form: str, target: str, name: str) -> str:
    return forms.verdict(LISTED[form]["fails"][target].get(name))


@pytest.mark.parametrize("target", forms.RUNTIMES)
def test_both_forms_fare_alike(target: str) -> None:
    found = {name for name in BOTH if verdict("json", target, name) != verdict("pdmodel", target, name)}
    assert found == set(DIFFERENT[target]) and all(DIFFERENT[target].values())


@pytest.mark.parametrize("form", forms.WRITERS)
@pytest.mark.parametrize("target", forms.RUNTIMES)
def test_nine_in_ten_work(form: str, target: str) -> None:
    """Of 1.8, which lacks most of them, one half."""
    saved, fails = LISTED[form]["saved"], LISTED[form]["fails"][target]
    assert len(saved) > 400 and len(saved) - len(fails) >= (0.5 if target == "1.8" else 0.97) * len(saved)
    assert all(fails.values()), "every failure has its reason"


@pytest.mark.parametrize("form", forms.WRITERS)
def test_nothing_comes_out_wrong_in_2_3(form: str) -> None:
    """What the default target cannot do is refused."""
    assert {n for n in LISTED[form]["saved"] if verdict(form, "2.3", n) == "wrong"} == set()


@pytest.mark.runtime
@pytest.mark.parametrize("form", forms.WRITERS)
def test_sample(form: str, tmp_path: Path) -> None:
    require(forms.WRITERS[form])
    require(forms.RUNTIMES["2.3"])
    assert forms.save(tmp_path, form, SAMPLE) == {}
    assert forms.run(tmp_path, form, "2.3", SAMPLE) == dict.fromkeys(SAMPLE)


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("form", forms.WRITERS)
def test_nothing_is_worse_than_listed(form: str, tmp_path: Path) -> None:
    require(forms.WRITERS[form])
    forms.save(tmp_path, form)
    worse = {}
    for target, runtime in forms.RUNTIMES.items():
        require(runtime)
        works = [n for n in LISTED[form]["saved"] if verdict(form, target, n) == "works"]
        worse[target] = {n: w for n, w in forms.run(tmp_path, form, target, works).items() if w is not None}
    assert worse == {target: {} for target in forms.RUNTIMES}
