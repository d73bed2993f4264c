"""``mconv to-static``."""

from __future__ import annotations

import dataclasses
from typing import Any

from mconv.cli.output import out, stdout_for_the_result
from mconv.cli.parameters import Given, with_options
from mconv.cli.proving import show_report, table_on_failure
from mconv.options.layers import FORMATS, ToStatic


@with_options(ToStatic, path={"default": dataclasses.MISSING}, format={"default": None}, verify={"default": True})
def command(given: Given) -> Any:
    """Save a paddle.nn.Layer as a static inference model that the target loads, and prove it."""
    from mconv import api

    named = given["path"].suffix.lstrip(".")
    if named in FORMATS:
        given.setdefault("format", named)
    with table_on_failure(), stdout_for_the_result(), out.progress(f"opening {given['layer']}") as say:
        report = api.to_static(**given, folder=named not in FORMATS, progress=say)
    out.warn(*report.warnings)
    made = sum(report.paddle_operators.values())
    what = f"{made} operators of Paddle {report.target['paddle']}" if made else "as Paddle writes it"
    out.print(f"{given['path']}: {report.source['class']}.{report.source['method']} → {what} ({report.engine})")
    show_report(report)
    return report.to_dict()
