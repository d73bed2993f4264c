"""Write the generated part of docs/: a page for every command, from its own help, in English and Chinese.

    python tools/make_docs.py              write docs/commands/
    python tools/make_docs.py --check      write nothing; say what is not as it should be, exit code 1
    python tools/make_docs.py --record A…  run the console sessions of these Markdown files again (default: all that have
                                           some) and write down what they print; needs Paddle and the managed runtimes
    python tools/make_docs.py --samples F  write the models that those sessions work on into a new folder, for who types them

Chinese texts come from tools/docsite/zh.yaml; a text that is missing there stays English, and ``--check`` names it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from docsite import console, reference, samples  # noqa: E402

DOCS = ROOT / "docs"
SUFFIX = {"en": ".md", "zh": ".zh.md"}


def generated() -> tuple[dict[Path, str], list[str]]:
    """``path → content`` of every generated page, and what is wrong with the translations."""
    pages: dict[Path, str] = {}
    problems = [
        f"tools/docsite/reference.py, EXITS: which exit codes has mconv {name}?"
        for name in reference.commands()
        if name not in reference.EXITS
    ]
    for language, suffix in SUFFIX.items():
        t = reference.Texts(language)
        pages[DOCS / "commands" / f"index{suffix}"] = reference.index(t)
        for name in reference.commands():
            pages[DOCS / "commands" / f"{name}{suffix}"] = reference.page(name, t)
        problems += [f"no {language} text for {text!r}" for text in t.missing]
        if language != "en":
            problems += [f"{language}.yaml: nothing says {text!r} any more" for text in t.stale()]
    return pages, problems


def translations() -> dict[Path, str]:
    """``path → content`` of the Chinese pages written by hand, with the code blocks of their originals."""
    found = {}
    for path in sorted(DOCS.glob("*.zh.md")):
        original = path.with_name(path.name.replace(".zh.md", ".md"))
        try:
            found[path] = console.sync(original.read_text(encoding="utf-8"), path.read_text(encoding="utf-8"))
        except ValueError as e:
            raise SystemExit(f"{path.relative_to(ROOT)}: not the code blocks of {original.name}: {e}") from e
    return found


def record(paths: list[Path]) -> None:
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if not any(block.language == "console" for block in console.blocks(text)):
            continue
        print(path.relative_to(ROOT), file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder) / "docs"
            scratch.mkdir()
            samples.prepare(scratch)
            path.write_text(console.rerun(text, scratch), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", nargs="*", type=Path, metavar="A")
    parser.add_argument("--samples", type=Path, metavar="F")
    args = parser.parse_args()
    if args.samples is not None:
        if args.samples.exists():
            parser.error(f"{args.samples}: exists already")
        args.samples.mkdir(parents=True)
        samples.prepare(args.samples)
        return 0
    if args.record is not None:
        mine = sorted(reference.EXAMPLES.glob("*.md")) + sorted(p for p in DOCS.glob("*.md") if ".zh." not in p.name)
        record([p.resolve() for p in args.record] or mine)
    pages, problems = generated()
    pages.update(translations())
    for path, text in pages.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            problems.append(f"{path.relative_to(ROOT)} is not what make_docs.py writes now")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    problems += [
        f"{path.relative_to(ROOT)}: no such command any more"
        for path in (DOCS / "commands").glob("*.md")
        if path not in pages
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
