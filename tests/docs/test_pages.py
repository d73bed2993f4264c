"""docs/: the generated pages are what the commands say now, the translations keep step, the site builds strictly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import pictures
from tools.docsite import console, reference, samples

from mconv import errors

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
HAND_WRITTEN = sorted(p for p in DOCS.glob("*.md") if ".zh." not in p.name)
TRANSLATED = [p for p in HAND_WRITTEN if p.with_suffix(".zh.md").exists()]
# what a recorded session needs that not every machine has
NEEDS = {"to-static": "paddle", "torch2paddle": "torch", "tutorial": "transformers"}


def test_generated_pages_and_translations_are_fresh() -> None:
    """Every command has its page, as its help is now; every text of it has its Chinese; nothing is left over."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_docs.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"run `make docs`, and say it in tools/docsite/zh.yaml:\n{done.stderr}"


def test_a_changed_help_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    from mconv.cli import main as frame

    before = reference.page("runtime", reference.Texts("en"))
    assert before == (DOCS / "commands" / "runtime.md").read_text(encoding="utf-8")
    monkeypatch.setitem(frame.COMMANDS["Environment"], "runtime", "Something else")
    chinese = reference.Texts("zh")
    assert reference.page("runtime", reference.Texts("en")) != before
    assert "Something else" in reference.page("runtime", chinese) and chinese.missing == ["Something else"]


@pytest.mark.parametrize("name", reference.commands())
def test_page_has_all_that_a_page_has(name: str) -> None:
    """Usage, every option, exit codes and an example that was really run."""
    page = (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    for command in reference.read(name):
        assert f"```\n{command.usage}\n```" in page
        for option in command.options:
            assert not option.own or f"| `{option.names}` |".replace("|", "\\|", 0) in page.replace("\\|", "|")
    assert "## Exit codes" in page and "## Examples" in page
    recorded = [block for block in console.blocks(page) if block.language == "console"]
    assert recorded and all(printed for block in recorded for _, printed in [list(block.commands())[-1]])


def test_every_exit_code_belongs_to_some_command() -> None:
    codes = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.MconvError)}
    assert codes - {1} <= {code for codes in reference.EXITS.values() for code in codes} | {2, 6}


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda p: p.stem)
def test_pages_have_chinese_that_keeps_step(page: Path) -> None:
    """The same headings by level, tables of the same size and the same code as the English page."""
    chinese = page.with_suffix(".zh.md")
    assert shape(chinese) == shape(page)
    assert re.search("[\u4e00-\u9fff]", chinese.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["coverage", "benchmarks"])
def test_both_pages_have_the_same_figures(page: str) -> None:
    def figures(name: str) -> set[str]:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        lines = text.split("\n") if page == "coverage" else [line for line in text.split("\n") if line.startswith("|")]
        return {found.rstrip(".,") for line in lines for found in re.findall(r"\d[\d,.]*%?", line)}

    assert figures(f"{page}.md") == figures(f"{page}.zh.md")


def test_readmes_say_the_same() -> None:
    """Headings, tables, points and links of both; the code but for its comments; and every link leads somewhere."""
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
    (levels, rows, code), (levels_zh, rows_zh, code_zh) = shape(english), shape(chinese)
    assert (levels, rows) == (levels_zh, rows_zh)
    plain = [[re.sub(r"\s+#.*", "", line) for line in block] for block in code]
    assert plain == [[re.sub(r"\s+#.*", "", line) for line in block] for block in code_zh]
    links = [re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")) for path in (english, chinese)]
    assert [link.replace(".zh.md", ".md") for link in links[1]][1:] == links[0][1:]
    assert all((ROOT / link).exists() for link in sum(links, []))
    untranslated = [link for link in links[1] if (ROOT / link.replace(".md", ".zh.md")).exists() and ".zh" not in link]
    assert untranslated == []


def shape(path: Path) -> tuple[list[str], int, list[list[str]]]:
    text = path.read_text(encoding="utf-8")
    fenced = console.blocks(text)
    inside = {n for b in fenced for n in range(b.first - 1, b.last + 1)}
    prose = [line for n, line in enumerate(text.split("\n")) if n not in inside]
    levels = [line.split(" ")[0] for line in prose if re.match("#+ ", line)]
    return levels, sum(line.startswith("|") for line in prose), [b.lines for b in fenced]


@pytest.mark.long
def test_site_builds_strictly(tmp_path: Path) -> None:
    """Every page is in the navigation, every link and anchor leads somewhere, in both languages."""
    mkdocs = pytest.importorskip("mkdocs.commands.build")
    from mkdocs.config import load_config

    pytest.importorskip("material")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    mkdocs.build(config)
    for page in HAND_WRITTEN:
        where = "" if page.stem == "index" else f"{page.stem}/"
        assert (tmp_path / where / "index.html").exists() and (tmp_path / "zh" / where / "index.html").exists()
    assert "疑难解答" in (tmp_path / "zh" / "index.html").read_text(encoding="utf-8")
    assert "They compute something else" in (tmp_path / "images" / "report.html").read_text(encoding="utf-8")
    # each language is searched by itself, Chinese word by word
    english, chinese = (
        json.loads((tmp_path / folder / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
        for folder in ("", "zh")
    )
    assert not any(d["location"].startswith("zh/") for d in (*english, *chinese))
    words = [(d["location"].partition("#")[0], set(re.split("[\\s\u200b]+", d["text"]))) for d in chinese]
    assert len({page for page, found in words if "动态" in found}) > 4
    for page in ("zh/index.html", "zh/bench/index.html"):
        base = re.search(r'"base": "([./]+)"', (tmp_path / page).read_text(encoding="utf-8"))
        assert base is not None and (tmp_path / page).parent.joinpath(base[1]).resolve() == tmp_path / "zh"


QUICK = ("check", "downgrade", "inspect", "runtime", "to-serving")
MACHINE = ("doctor",)  # what it prints is about the machine
RECORDED = sorted(reference.EXAMPLES.glob("*.md")) + [
    page for page in HAND_WRITTEN if any(b.language == "console" for b in console.blocks(page.read_text("utf-8")))
]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else [pytest.mark.slow, pytest.mark.runtime])
        for p in RECORDED
        if p.stem not in MACHINE
    ],
)
def test_recorded_sessions_still_print_that(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run again, line by line, but for figures."""
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    scratch = tmp_path_factory.mktemp("docs")
    samples.prepare(scratch)
    recorded = path.read_text(encoding="utf-8")
    again = console.rerun(recorded, scratch)
    assert [console.masked(line) for line in again.split("\n")] == [console.masked(x) for x in recorded.split("\n")]


def test_who_types_the_sessions_has_their_models(tmp_path: Path) -> None:
    made, script = tmp_path / "a" / "samples", ROOT / "tools" / "make_docs.py"
    for code in (0, 2):  # nothing is written over
        done = subprocess.run([sys.executable, str(script), "--samples", str(made)], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    assert "exists already" in done.stderr
    (scratch := tmp_path / "b").mkdir()
    samples.prepare(scratch)
    assert sorted(p.name for p in made.iterdir()) == sorted(p.name for p in scratch.iterdir())
    tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    assert "make_docs.py --samples" in tutorial


def test_console_blocks() -> None:
    text = 'A\n```console\n$ echo one \\\n  two\none two\n$ false\n[exit 1]\n```\n```sh title="x.sh"\necho 3\n```\nB'
    first, second = console.blocks(text)
    assert list(first.commands()) == [("$ echo one \\\n  two", ["one two"]), ("$ false", ["[exit 1]"])]
    assert (second.language, second.title, second.lines) == ("sh", "x.sh", ["echo 3"])


def test_console_blocks_are_run_in_place(tmp_path: Path) -> None:
    text = '```sh title="x.sh"\necho 3; pwd\n```\nand\n```console\n$ sh x.sh; exit 4\nold\n$ true\n```\nend\n'
    again = console.rerun(text, tmp_path)
    assert again == text.replace("old\n", "3\n.\n[exit 4]\n")
    assert console.sync(again, "```sh\n```\n和\n```console\n```\n") == (
        "```sh\necho 3; pwd\n```\n和\n```console\n$ sh x.sh; exit 4\n3\n.\n[exit 4]\n$ true\n```\n"
    )
    with pytest.raises(ValueError):
        console.sync(again, "```console\n```\n")


def test_the_chain_in_chinese_is_the_chain() -> None:
    """Drawn again with ``python tools/pictures.py chain``; each text that is no name is Chinese."""
    drawn = (pictures.IMAGES / "chain-zh.svg").read_text("utf-8")
    assert drawn == pictures.chinese_chain()
    texts = re.findall(r"<text[^>]*>([^<]+)<", drawn)
    assert len(texts) > 12 and not [t for t in texts if re.search(r"[a-z]{2,} [a-z]{2,}", t)]
