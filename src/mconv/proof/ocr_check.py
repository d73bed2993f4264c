"""A service of several models, asked: its answers against those of its own steps around Paddle, without the server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.program.files import locate
from mconv.proof.pipeline import Answer, Pipeline, Request
from mconv.proof.serve_report import FormResult
from mconv.proof.service import image_request, image_requests, picture
from mconv.runtimes import Runtime, Worker
from mconv.serving import configure
from mconv.serving.servers.requests import PAGES

_PIXELS = 1  # corners are rounded
# a page of three lines, 330 x 150 in black and white: Paddle Serving, Order 2024-117, Total 1,234.50
_PAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAUoAAACWAQAAAACQ2fxIAAADd0lEQVR42u2Yz2vjRhTHP6OosUqTjXrLQiBz6K2X5LaFbaLe+lcU9y9oemzJj1mv"
    "S3tqfdzTrv+MwMJWLoW6hxJDry0o1IdcCkpiiGxGej3IcSAdaX1ZWhbNwfiZD1/evPc8X42UsOQaeCy9GrRB33I04uMl0CfRIppqgLxadbSIsrRe"
    "dft0Ed2c1uTvAXoRJRpA1WxrQJcuBAT20uxGv018Wa9A45MjOSKfkW2N+r8TSzGbVKDPXx0Wh9gMODNrhMXNNHWjiaZDB7XCQ8KdMEHhBW40Hlhl"
    "FRmE2oAxkLq3df7d4oh7kIJG41dV4KCjUCA+6vQ8IgV8B+zDdnvjw9twC9j/26usq+wKAisC7JdZWltRrDLXIqcXJiM2a4fQF18IIEoNFAbCKrTg"
    "mGNOcrJxWo5ZkTlYkRfCntpTjx8rSTbi7f3UXtvMl/sr9gCeqo7qeCurbIY7bRSw6uiWcjvM5J3WG3CYYurslmu13rPLqrpmoAJdyZpDs0Eb9P+N"
    "Rkuh+eI0C3KdazRXjC+VcaCT2TzMZ5OLyQUwou9Wvb6Zhza9/uM6FogxG9alOvbnv6oW+FsFPJMdrEs1YNbr0p31wA8BQ5v4vtnPK+DJD0dyJD1I"
    "CsjBKMhcaEz82WFxSHsV2GTmrPnicDTeXufrb1EB+HMznqw5VEOFVRYgIyDxa7ul5h9XwPBCQoALF5oKqvw+JqMXM99B7bgMM0SHKoV/u6eIiJwV"
    "X2XykUxFtn+5tCe0ZCrXsu1wQ7ICEDGI1t6in7oiAV98oIhsOkWe3Vn/fXTLGo45NlhTFsE1wCW6/i7eN14XMrX+wZ/zshZO1bVVVEc9BVi7e8gw"
    "Szl3czds0AZt0P8AzZdARfmLo/fSDJgyCC5NtWpU6o76kQGCUd+Jqtsbm4Uz9uKMjfTsoH5bU0P4xSektds6PxoOYPXOSsOoCu3HxIYAUIYLwGRV"
    "6Iu/Hj2PAdoII6ZRdQL64NajwiIyZCNdeY8lYjB3irHRtE7RNRUo3UN0eBIxrKlABJ3SqqIHr+BAk9Sofl92wajEgJOcv6BAdssu5Bz60Wsmq8z1"
    "Cgz0MUEFqhbPE2NMy8ZpksZVqkmPAgO9ofej5urRsDqBz/WvPxND+OX7P0XwsLfbo+Ie25ZP7csyfnKcE+qdNq+5c+tkaefWb+TPHTfHW4O+Neg/"
    "qTZxZF7ls0YAAAAASUVORK5CYII="
)


def requests(paths: Sequence[Path] = ()) -> list[Request]:
    """Pages: the user's files, or one with text, and two pages at a time of which one has none.

    Raises:
        UsageError: a file cannot be read.
    """
    if paths:
        return image_requests(paths)
    nothing = image_request(np.full_like(picture(40, 60), 255))
    return [{"0": _PAGE}, {"0": str(next(iter(nothing.values()))), "1": _PAGE}]


def direct(pipeline: Pipeline, asked: Sequence[Request], where: Runtime) -> tuple[list[dict[str, Any]], str]:
    """What the service's own steps answer around Paddle alone, and by which version of it.

    Args:
        where: the runtime that has Paddle.

    Raises:
        RuntimeFailedError: that fails, or there is no text on the first page, which would prove nothing.
    """
    models = pipeline.service.server
    with Worker(where) as worker:

        def run(stage: str, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
            files, config = locate(models / stage), configure.read(models / stage / configure.SERVER_TEXT)
            named = {var.name: feed[var.alias] for var in config.feeds}
            return worker.run(files.program, files.params, named).outputs[0]

        found = [pipeline.whole(request, run) for request in asked]
        version = worker.version()
    if not any(found[0]["texts"]):
        raise RuntimeFailedError(
            "the models read nothing on a page with text", "--image FILE: a page that they can read"
        )
    return found, version


def judge(form: str, answers: Sequence[Answer], wanted: Sequence[dict[str, Any]], tolerance: float) -> FormResult:
    """Whether each answer has the same texts, the same boxes and scores within *tolerance*."""
    largest: Optional[float] = None
    reason = next((a.error for a in answers if a.error), "")
    for index, (answer, want) in enumerate(zip(answers, wanted)):
        if reason:
            break
        have = {**answer.others, **{name: value.tolist() for name, value in answer.values.items()}}
        have = {name: read(pages) for name, pages in have.items()}
        if missing := [name for name in PAGES if name not in have]:
            reason = f"the reply has no {', '.join(missing)}"
        elif have["texts"] != want["texts"]:
            reason = f"request {index}: the texts are {str(have['texts'])[:100]}, not {str(want['texts'])[:100]}"
        elif (apart := _apart(have["boxes"], want["boxes"])) > _PIXELS:
            reason = f"request {index}: boxes are {apart:g} pixels apart"
        else:
            largest = max(largest or 0.0, _apart(have["scores"], want["scores"]))
            reason = f"request {index}: scores are {largest:.3g} apart" if largest > max(tolerance, 1e-3) else ""
    return FormResult(form, not reason, largest, [a.seconds for a in answers], reason)


def read(pages: Any) -> Any:
    """An output, for each page; the Open Inference Protocol has no lists of different lengths: there it is JSON."""
    return [json.loads(page) if isinstance(page, str) else page for page in pages]


def _apart(have: Any, want: Any) -> float:
    """The largest difference of nested lists; infinite where they differ in form."""
    if not isinstance(want, list):
        return float(abs(have - want)) if isinstance(have, (int, float)) else np.inf
    if not isinstance(have, list) or len(have) != len(want):
        return np.inf
    return max((_apart(a, b) for a, b in zip(have, want)), default=0.0)
