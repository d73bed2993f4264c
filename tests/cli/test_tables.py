"""What a person at a terminal sees: tables that fit it, and what is being done."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUN = """
from mconv.cli.output import out
rows = [["recipes/production/bert-base-chinese", "serve-check", "passed", "12.3", "last_hidden_state", "1.00e-06", ""],
        ["recipes/production/resnet", "onnx2paddle", "FAILED", "1.0", "y", "3.10e-01",
         "output y: max abs 3.10e-01 is beyond the tolerance of 1.00e-05 in input set 2, and so are others"]]
columns = ["recipe", "step", "", "s", "furthest apart", "max abs", "why"]
out.table(columns, rows, right=["s", "max abs"], drop=["furthest apart", "max abs", "s"], verdict="")
"""
VERIFY = """
from mconv.cli.proving import show_outputs
row = {"name": "decoder.layers.11.self_attn.k_proj.output_of_the_whole_block", "shape": [2, 128, 30522],
       "dtype": "float32", "max_abs": 1e-6, "max_rel": 2e-3, "cosine": 1.0, "argmax_same": True, "ok": True, "reason": ""}
show_outputs([row, {**row, "name": "y", "ok": False, "reason": "max abs 1.00e-06 > 1.00e-08"}])
"""


def at_terminal(code: str, width: int, term: str = "xterm-256color") -> str:
    """What Python code prints at a terminal of that width, codes included."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=other, stdout=other, stderr=other, env={**env, "TERM": term}
    )
    os.close(other)
    text = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while data := os.read(main, 65536):
            text += data
    os.close(main)
    assert started.wait() == 0, text
    return text.decode()


@pytest.mark.parametrize("code", [RUN, VERIFY], ids=["run", "verify"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_table_fits_the_terminal(code: str, width: int) -> None:
    text = at_terminal(code, width)
    lines = [line.rstrip() for line in _CODES.sub("", text).splitlines()]
    assert max(map(len, lines)) <= width
    rows = [line for line in lines[2:] if line and not line.startswith(" ")]
    if code is RUN:
        assert [row.split()[0] for row in rows] == ["passed", "FAILED"]  # the verdict first
        assert all(word in "\n".join(lines) for word in ("serve-check", "onnx2paddle"))  # no word is broken
        assert ("furthest apart" in lines[0]) == (width > 120)
    else:
        assert [row.split()[0] for row in rows] == ["ok", "FAIL"]
        assert "1.00e-06" in rows[0] and ("float32" in rows[0]) == (width > 120)
    assert re.search(r"\x1b\[32m(passed|ok)", text) and re.search(r"\x1b\[1;31m(FAILED|FAIL)", text)


@pytest.mark.parametrize("code", [RUN, VERIFY], ids=["run", "verify"])
@pytest.mark.parametrize("width", [10, 20, 40])
def test_where_there_is_no_room_for_columns_each_cell_has_a_line(code: str, width: int) -> None:
    """No number and no word is broken that fits, nothing is left out, and the verdict stays first."""
    text = at_terminal(code, width)
    lines = [line.rstrip() for line in _CODES.sub("", text).splitlines()]
    assert max(map(len, lines)) <= width
    found = " ".join(line.strip() for line in lines if line)
    rows = [line for line in lines if line and not line.startswith(" ")]
    if code is RUN:
        assert rows[0].startswith("passed") and any(row.startswith("FAILED") for row in rows)
        assert width < 20 or ("  step: serve-check" in lines and "max abs: 1.00e-06" in found)
        assert width < 20 or "and so are others" in found
    else:
        assert rows[0].startswith("ok") and any(row.startswith("FAIL") for row in rows)
        assert width < 40 or "  cosine: 1.00000000" in lines
    assert re.search(r"\x1b\[32m(passed|ok)", text) and re.search(r"\x1b\[1;31m(FAILED|FAIL)", text)


def test_a_reason_is_not_cut() -> None:
    """A name loses its middle, a sentence goes on in the next line, wherever its column stands."""
    code = """
from mconv.cli.output import out
why = "operators that it does not have: matmul_v2 (3 of them)"
out.table(["target", "loads it", "why not", "after mconv"], [["1.8", "no", why, "yes"], ["2.3", "yes", "", ""]])
"""
    for width in (40, 60):
        text = _CODES.sub("", at_terminal(code, width))
        assert "matmul_v2" in text and "…" not in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_table_fits_a_terminal_without_codes(width: int) -> None:
    text = at_terminal(RUN, width, "dumb")
    assert "\x1b" not in text and max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_elsewhere_a_table_is_as_wide_as_it_is(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    head, _, first, second, *_ = done.stdout.splitlines()
    assert head.split()[:3] == ["recipe", "step", "s"] and "furthest apart" in head
    assert first.split()[:3] == ["recipes/production/bert-base-chinese", "serve-check", "passed"]
    assert second.rstrip().endswith("and so are others") and "\x1b" not in done.stdout


SAID = """
from mconv.cli.output import out
out.print("verification passed: ONNX Runtime 1.32.0 against Paddle 2.3.2 (predictor); random inputs input_ids [2, 12]")
out.warn("一博愿你在岁月中更加平湖静月，衣襟生花 is called something else, which the files of Paddle can carry, in the result")
out.error("b.onnx computes something else than a.onnx: output scores: 8 of 8 elements differ by more than the tolerance")
out.print(" " * 300)
out.print("curl -s http://127.0.0.1:18082/model/prediction -d '{}' -H 'Content-Type: application/json' and more", copied=True)
out.warn("no Paddle model: `mconv onnx2paddle a.onnx out` converts it")
out.error("no", "`mconv onnx2paddle a/very/long/path/of/a/model.onnx out --tolerance 1e-3 --runtime paddle-2.3.2` does it")
out.text("a document of a program, whose lines are what they are, however long they may be, and are not broken by us")
"""


@pytest.mark.parametrize("width", [40, 80])
def test_sentences_are_broken_between_words_and_what_is_copied_is_not(width: int) -> None:
    lines = [line.rstrip() for line in _CODES.sub("", at_terminal(SAID, width)).splitlines()]
    whole = [at for at, line in enumerate(lines) if line.startswith(("curl", "hint:", "a document"))]
    assert len(whole) == 3 and all(len(lines[at]) > width for at in whole)
    rest = [line for at, line in enumerate(lines) if at not in whole]
    assert max(map(cell_len, rest)) <= width
    words = " ".join(rest).split()
    assert {"verification", "(predictor);", "一博愿你在岁月中更加平湖静月，衣襟生花", "tolerance"} <= set(words)


ROWS = """
from mconv.cli.failing import render_error
from mconv.errors import UnsupportedError
row = {"operator": "Foo", "domain": "my.domain", "opset": 1, "reason": "no converter for it", "count": 1, "nodes": ["a"],
       "todo": "write a converter (docs/operators.md) and give it with --plugin my_ops.py"}
render_error(UnsupportedError("2 nodes cannot be converted", None, [row, {**row, "operator": "Bar"}]), "mconv onnx2paddle")
"""


def test_what_to_do_about_operators_is_said_once_below_their_table() -> None:
    lines = [line.rstrip() for line in _CODES.sub("", at_terminal(ROWS, 80)).splitlines()]
    assert max(map(len, lines)) <= 80 and not any("todo" in line for line in lines)
    assert (
        " ".join(lines).count("Foo, Bar: write a converter (docs/operators.md) and give it with --plugin my_ops.py")
        == 1
    )


PROGRESS = """
import os, tempfile, time
from mconv.cli.output import out
with out.progress("reading the model") as say:
    time.sleep(0.4)
    with tempfile.TemporaryFile() as file:
        file.write(bytes(30_000_000))
        file.flush()
        say("writing it")
        time.sleep(0.4)
print("done")
"""


def test_what_is_being_done_is_seen_with_its_time_and_bytes() -> None:
    text = at_terminal(PROGRESS, 80)
    assert re.search(r"reading the model \(\d+ s\)", text) and re.search(r"writing it \(\d+ s, 30 MB written\)", text)
    assert _CODES.sub("", text).splitlines()[-1] == "done"


def test_the_time_of_a_long_phase_is_seen() -> None:
    code = PROGRESS.replace(
        "reading the model",
        "verifying: a model of a long name in PyTorch 2.13.0+cpu against Paddle in runtime paddle-2.3.2",
    )
    text = _CODES.sub("", at_terminal(code, 60))
    lines = [line for line in re.split(r"[\r\n]+", text) if "verifying" in line]
    assert lines and all(re.search(r"… \(\d+ s\)$", line.rstrip()) and len(line.rstrip()) <= 60 for line in lines)


LIVE = """
from types import SimpleNamespace
from mconv.cli.run import _Live
with _Live() as live:
    live.event(SimpleNamespace(recipe="a-recipe", step="onnx2paddle", status="running",
                               text="verifying: ONNX Runtime 1.32.0 against Paddle in runtime paddle-2.3.2, the managed one"))
"""


@pytest.mark.parametrize("width", [60, 80])
def test_what_a_recipe_is_doing_leaves_room_for_its_name_and_time(width: int) -> None:
    lines = re.split(r"[\r\n]+", _CODES.sub("", at_terminal(LIVE, width)))
    assert any(re.match(r"a-recipe +onnx2paddle +\d+ s +verifying: .*…$", line.rstrip()) for line in lines), lines


def test_elsewhere_nothing_is_said_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRESS], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
