"""docs/images/terminal.svg and what images/report.html is made of when the site is built: a real terminal and a real
comparison, of real models; and images/chain-zh.svg, which is images/chain.svg in Chinese.

    python tools/pictures.py            a minute; needs the packages of `make install` and the runtime paddle-2.3.2
    python tools/pictures.py chain      the Chinese chain alone, at once

The model is PP-OCRv4's recogniser as it comes with rapidocr-onnxruntime; for the comparison one of its weights is changed, so
that there is something to find.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from mconv import api
from mconv.page import document
from mconv.printable import json_text

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
RECORDED = ROOT / "tools" / "docsite" / "comparison.json"
COLUMNS = 92
SHAPE = "x[1,3,48,?]"
COMMANDS = (
    f"mconv onnx2paddle rec.onnx rec --input '{SHAPE}'",
    "mconv to-serving rec --out deploy",
    f"mconv verify other.onnx rec --layers --input '{SHAPE}'",
)
# as rich's own, without the fonts that it would load from elsewhere
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


# what images/chain.svg says → in Chinese; what is not here is a name, and stays
CHAIN = {
    "The chain: PyTorch, ONNX, a paddle.nn.Layer and Paddle models of any era become a program, which is brought to the "
    "target and written as an inference model, served by Paddle Serving, and compared with the source at every step": "整条链："
    "PyTorch、ONNX、paddle.nn.Layer 和任何时期的 Paddle 模型变成一个程序，适配目标后写成推理模型，由 Paddle Serving 提供服务，每一步都与来源比较",
    "PyTorch, Hugging Face": "PyTorch、Hugging Face",
    "Paddle of any era": "任何时期的 Paddle",
    "one program": "一个程序",
    "fused, folded, lowered": "融合、折叠、适配目标",
    "inference model": "推理模型",
    "for Paddle 1.8, 2.3, 2.6, 3": "Paddle 1.8 / 2.3 / 2.6 / 3",
    "fp16, bf16, int8, ONNX": "fp16、bf16、int8、ONNX",
    "a service that answers": "能应答的服务",
    "texts, pictures, tensors in, JSON out": "输入文本、图片、张量，输出 JSON",
    "proof: the source's runtime against the result's, output by output, layer by layer, request by request": "证明：来源的运行"
    "时与结果的运行时，逐个输出、逐层、逐个请求比较",
}
FONTS = (
    "system-ui, 'Noto Sans', sans-serif",
    "system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif",
)


def chinese_chain() -> str:
    """images/chain.svg in Chinese."""
    drawn = (IMAGES / "chain.svg").read_text("utf-8").replace(*FONTS)
    for said, chinese in CHAIN.items():
        if f">{said}<" not in drawn and f'"{said}"' not in drawn:
            raise SystemExit(f"images/chain.svg does not say {said!r} any more")
        drawn = drawn.replace(f">{said}<", f">{chinese}<").replace(f'"{said}"', f'"{chinese}"')
    return drawn


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "chain-zh.svg").write_text(chinese_chain(), "utf-8")
    if sys.argv[1:] == ["chain"]:
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        models(work)
        said = [(line, typed(line, work)) for line in COMMANDS]
        draw(said, IMAGES / "terminal.svg")
        found = api.verify(work / "other.onnx", work / "rec", inputs=[SHAPE], layers=True)
        text = json_text(document.of(found), separators=(",", ":")).replace(f"{work}/", "")
        RECORDED.write_text(text + "\n", "utf-8")


def models(work: Path) -> None:
    """``rec.onnx``, and ``other.onnx`` with one convolution's weights times 1.1."""
    import onnx
    import rapidocr_onnxruntime
    from onnx import numpy_helper

    source = Path(rapidocr_onnxruntime.__file__).parent / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    model = onnx.load(source)
    onnx.save(model, work / "rec.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    weight = convolutions[len(convolutions) // 2].input[1]
    holder = next(node for node in model.graph.node if weight in node.output)
    tensor = next(a.t for a in holder.attribute if a.name == "value")
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((array * 1.1).astype(array.dtype), tensor.name))
    onnx.save(model, work / "other.onnx")


def typed(line: str, work: Path) -> str:
    """What a command prints on a terminal of COLUMNS columns; its progress, which changes in place, is left out."""
    words = [sys.executable, "-m", "mconv", *shlex.split(line)[1:]]
    sizes = {"COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}
    env = {**os.environ, **sizes, "PYTHONPATH": str(ROOT / "src")}
    reader, writer = pty.openpty()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=writer, stderr=errors)
        os.close(writer)
        printed = b""
        while True:
            try:
                more = os.read(reader, 1 << 16)
            except OSError:  # Linux: the other end is closed
                break
            if not more:
                break
            printed += more
        os.close(reader)
        code = process.wait()
        errors.seek(0)
        told = errors.read().decode()
    if code not in (0, 10):
        sys.exit(f"{line}: exit code {code}\n{told}")
    kept = [text for text in told.splitlines() if text.startswith(("error:", "hint:", "warning:"))]
    colours = {"error": "\x1b[1;31m", "warning": "\x1b[33m"}
    kept = [colours.get(text.partition(":")[0], "") + text + "\x1b[0m" for text in kept]
    return printed.decode().replace("\r\n", "\n").rstrip("\n") + "".join(f"\n{text}" for text in kept)


def draw(said: list[tuple[str, str]], path: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        for line, printed in said:
            console.print(Text.assemble(("$ ", "bold green"), (line, "bold")))
            for text in printed.split("\n"):
                console.print(Text.from_ansi(text), overflow="fold")
            console.print()
        svg = console.export_svg(title="mconv", code_format=FORMAT, unique_id="mconv")
    path.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.M), "utf-8")


if __name__ == "__main__":
    main()
