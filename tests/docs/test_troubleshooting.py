"""Troubleshooting: the messages that users of Paddle meet are there word for word, and mconv's own are what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.docsite import console

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# the article's chapter 4, and what was met with Paddle, Paddle Serving and X2Paddle since
MESSAGES = [
    "CUDA driver and runtime could not be initialized",
    "unsqueeze2_0.tmp_0",
    "preln_embedding_eltwise_layernorm_fuse_pass has not been registered",
    "{'@DAGExecutor': {}}",
    "logging.config.dictConfig",
    "number of variables to be loaded is 0",
    "Cannot open file …/__model__, please confirm whether the file is normal.",
    "failed to create predictor",
    "feed_batch must be npdata",
    "KeyError: 'x'",
    "failed to receive server preface within timeout",
    "prot 8088 is already used",
    "exit code 137",
    "matmul(): argument (position 1) must be Value, but got Variable",
    "has not been registered",
    "`Segmentation fault` is detected by the operating system",
    "phi::UnsqueezeInferMeta",
    "NaiveExecutor::CreateVariables",
    "No module named 'paddle.fluid'",
    "No module named 'paddle_serving_server'",
    "undefined symbol: _dl_sym, version GLIBC_PRIVATE",
    "opencv-python==3.4.17.61",
    "charset_normalizer",
    "paddle.static.load_inference_model",
    "strides",
    "onednn_instruction.cc",
    "64 MiB",
    "convert_to_mixed_precision",
    "--show_proto",
    "SERVING_BIN",
]


def sections(text: str) -> dict[str, str]:
    """Heading of an entry → what stands below it."""
    parts = re.split(r"^###? (.*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_there(message: str) -> None:
    assert message in PAGE


def test_every_entry_has_a_cause_and_most_a_command() -> None:
    entries = {h: body for h, body in sections(PAGE).items() if body.strip() and not h.startswith("What mconv")}
    assert len(entries) >= 35
    without = [h for h, body in entries.items() if not any(b.language == "bash" for b in console.blocks(body))]
    assert len(without) <= 6, without
    for heading, body in entries.items():
        assert len(body.split("```")[0].strip()) > 20 or "runtime …" in heading, heading


@pytest.mark.parametrize(
    "heading", [h for h in sections(PAGE.split("## What mconv itself says")[1]) if h.startswith("`")]
)
def test_own_messages_are_what_mconv_says(heading: str) -> None:
    """Every part of a message between the dots stands in one line of the sources."""
    parts = [p.strip(" `:") for p in heading.split("…") if p.strip(" `:")]
    lines = [
        line
        for pattern in ("*.py", "*.py.in")
        for path in (ROOT / "src" / "mconv").rglob(pattern)
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert any(all(part in line for part in parts) for line in lines), parts


def test_chinese_has_the_same_messages() -> None:
    """Word for word, as they are searched for; what is said around them is Chinese."""
    chinese = (ROOT / "docs" / "troubleshooting.zh.md").read_text(encoding="utf-8")
    code = r"``.+?``|`[^`]+`"
    pairs = list(zip(*(re.findall(r"^### (.*)$", page, re.M) for page in (PAGE, chinese))))
    assert len(pairs) == len(re.findall("^### ", PAGE, re.M)) == len(re.findall("^### ", chinese, re.M))
    for english, other in pairs:
        assert sorted(re.findall(code, english)) == sorted(re.findall(code, other))
        if re.search("[A-Za-z]{3}", re.sub(code, "", english)):
            assert re.search("[\u4e00-\u9fff]", other), other
