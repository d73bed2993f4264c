"""The page in a real browser: nothing is loaded, nothing is wider than the window, light and dark, the first difference open.

Skipped where there is no Chromium: a browser is no package.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tools import screenshots

from mconv.page import document
from tests.page.samples import HOSTILE, changed, example, layered

pytest.importorskip("matplotlib")
api = pytest.importorskip("playwright.sync_api")
if screenshots.browser() is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

OWN = ("passed", "model")
PAGES = {
    "conversion": [example("onnx2paddle")],
    "all": [example(name) for name in ("onnx2paddle", "bench", "run", "half", "quantize", "serve-check")],
    "hostile": [changed(example("onnx2paddle"), lambda text: text if text in OWN else f"{text}{HOSTILE}{'x' * 90}")],
    "layers": [layered(2000, first=1232, name=lambda at: f"/encoder/layer.{at // 40}/op{at}", skip=9)],
}


# lines that end before they are read: each part goes on at the same place in the row below
_BROKEN = """[...document.querySelectorAll('.block[open] .step')].flatMap(row => {
  const next = row.nextElementSibling, place = s => s.getBoundingClientRect();
  if (!next || !next.matches('.step')) return [];
  const below = [...next.querySelectorAll('s.read, s.past')].map(place);
  return [...row.querySelectorAll('s.begins, s.past')].map(place).filter(a =>
    !below.some(b => Math.abs(a.left - b.left) < 1 && Math.abs(a.bottom - b.top) < 1.1)).map(a => row.innerText);
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        found = screenshots.launched(playwright)
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, found in PAGES.items():
        document.write(found, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_in_a_window(name: str, width: int, scheme: str, pages: dict[str, Path], chromium: Any) -> None:
    page, wrong = screenshots.opened(chromium, pages[name].as_uri(), width, scheme)
    try:
        assert wrong == []
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, back[4:-1].split(","))) < 150 if scheme == "dark" else back == "rgb(255, 255, 255)"
        assert page.locator(".verdict").first.bounding_box()["y"] < (500 if name == "hostile" else 300), (
            "the verdict is seen first"
        )
        if name == "layers":
            assert page.locator("#first").is_visible() and page.locator("#first").inner_text().startswith("Relu")
            shown = page.evaluate("[...document.querySelectorAll('.block')].filter(b => b.checkVisibility()).length")
            assert shown < 120 and page.locator(".step").count() == 2000
            assert page.evaluate("[...document.querySelectorAll('.step')].filter(s => s.checkVisibility()).length") < 50
            assert page.evaluate(_BROKEN) == [] and page.locator("#first .edges s.begins.h4").count() == 1
    finally:
        page.context.close()
