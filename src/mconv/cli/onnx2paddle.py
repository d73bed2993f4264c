"""``mconv onnx2paddle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import one_line, out
from mconv.cli.proving import Feeds, Force, Limit, Verify, Where, table_on_failure


def command(
    model: Annotated[Path, typer.Argument(help="The .onnx file; external data beside it is found.")],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder for inference.pdmodel, inference.pdiparams, report.json.")
    ],
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input", "-i", metavar="'NAME[1,3,?,640]'", help="Another shape for an input; ? stays open. Repeatable."
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="The Paddle that will load it: 2.3, 2.6, 3, 1.8.")] = "2.3",
    engine: Annotated[
        str, typer.Option(help="native, or x2paddle: X2Paddle in its managed runtime, as a second opinion.")
    ] = "native",
    verify: Verify = None,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Where = None,
    plugin: Annotated[
        Optional[list[Path]], typer.Option(metavar="MY_OPS.PY", help="Converters of your own; repeatable.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For running the result, or X2Paddle.")] = 600,
    force: Force = False,
) -> Any:
    """Convert an ONNX model into a Paddle inference model, and prove it."""
    from mconv import api

    with table_on_failure():
        report = api.onnx2paddle(
            model,
            out_dir,
            inputs=inputs or (),
            target=target,
            engine=engine,
            verify=verify,
            runtime=runtime,
            feeds=feeds,
            tolerance=tolerance,
            plugins=plugin or (),
            force=force,
            timeout=timeout,
            progress=out.detail,
        )
    for warning in report.warnings:
        out.warn(one_line(warning))
    count = sum(row["count"] for row in report.operators)
    made = sum(report.paddle_operators.values())
    extra = [f"{report.folded} computed"] if report.folded else []
    extra += [f"{number} {name} fused" for name, number in report.fused.items()]
    extra += [f"{number} {name} expanded" for name, number in report.expanded.items()]
    done = f" ({', '.join(extra)})" if extra else ""
    out.print(f"{out_dir}: {count} ONNX nodes → {made} operators of Paddle {report.target['paddle']}{done}")
    show_ports(report)
    for key, value in report.seconds.items():
        out.detail(f"{key}: {value:.2f} s")
    show_proof(report.verification)
    return report.to_dict()


def show_ports(report: Any) -> None:
    """The inputs and outputs of a report: one line each."""
    rows = [["input", *_port(p)] for p in report.inputs] + [["output", *_port(p)] for p in report.outputs]
    out.table(["", "name", "type", "shape"], rows)


def _port(port: dict[str, Any]) -> list[str]:
    name = one_line(port["name"])
    if port["paddle_name"] != port["name"]:
        name += f" → {port['paddle_name']}"
    dims = ", ".join("?" if d is None else str(d) for d in port["shape"])
    return [name, str(port["paddle_dtype"]), f"[{dims}]"]


def show_proof(proof: Optional[dict[str, Any]]) -> None:
    """The verification of a report: one line, and the table per output where there is one."""
    if proof is None or (proof["status"] == "not verified" and not proof["reason"]):
        out.print("not verified (--no-verify)")
        return
    if proof["status"] == "not verified":
        return  # the warning has said it
    sides = f"{proof['reference']} against {proof['paddle'] or proof['runtime']}"
    shapes = " and ".join(
        ", ".join(f"{one_line(n)} {shape}" for n, shape in feed.items()) for feed in proof["input_sets"]
    )
    out.print(f"verification {proof['status']}: {sides}; {proof['inputs']} inputs {shapes}")
    if proof["outputs"]:
        show_outputs(proof["outputs"])


def show_outputs(rows: list[dict[str, Any]]) -> None:
    """One line for each output and input set: the figures, and whether they are within the tolerance."""
    table = []
    for row in rows:
        figures = [_figure(row["max_abs"]), _figure(row["max_rel"]), _figure(row["cosine"], ".8f")]
        argmax = {None: "", True: "same", False: "differs"}[row["argmax_same"]]
        state = "ok" if row["ok"] else row["reason"]
        table.append([one_line(row["name"]), str(row["shape"]), row["dtype"], *figures, argmax, state])
    columns = ["output", "shape", "type", "max abs", "max rel", "cosine", "argmax", ""]
    out.table(columns, table, right=["max abs", "max rel", "cosine"])


def _figure(value: Optional[float], form: str = ".2e") -> str:
    return "-" if value is None else format(value, form)
