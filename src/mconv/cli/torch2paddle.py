"""``mconv torch2paddle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out, stdout_for_the_result
from mconv.cli.options import (
    Arguments,
    Budget,
    CarryState,
    Deterministic,
    Feeds,
    Force,
    Limit,
    OutFolder,
    Target,
    Timeout,
    Verify,
    Where,
)
from mconv.cli.proving import show_report, table_on_failure


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="A .pt2 or TorchScript file, pkg.module:factory, path/to/file.py:factory, the folder of a Hugging Face "
            "or sentence-transformers model, or the name of a timm model."
        ),
    ],
    out_dir: OutFolder,
    weights: Annotated[
        Optional[Path],
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help="For a factory: a state dict in .pt, .pth, .bin, .safetensors, or the index of sharded ones.",
        ),
    ] = None,
    arguments: Arguments = None,
    task: Annotated[
        Optional[str],
        typer.Option(help="For a Hugging Face folder: text-classification, fill-mask, … or a class of transformers."),
    ] = None,
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input",
            "-i",
            metavar="'NAME:int64[batch,seq]'",
            help="An input of forward, its type and shape; a word or ? stays open. Repeatable.  [default: the model's "
            "own, or guessed]",
        ),
    ] = None,
    example: Annotated[
        Optional[Path], typer.Option(metavar="X.NPZ", help="Values to trace with, instead of random ones.")
    ] = None,
    outputs: Annotated[
        Optional[list[str]],
        typer.Option("--output", "-o", metavar="NAME", help="An output to keep; repeatable.  [default: all]"),
    ] = None,
    via: Annotated[
        Optional[str],
        typer.Option(help="export, or onnx: through PyTorch's ONNX exporters.  [default: export, onnx where it fails]"),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail where the result is not the whole model: torch fixes a dimension that was to stay open, a decision is taken while tracing, nothing reads an input, forward keeps a state.",
        ),
    ] = False,
    keep_dtype: Annotated[
        bool, typer.Option("--keep-dtype", help="Keep float16 and bfloat16, instead of carrying them as float32.")
    ] = False,
    carry_state: CarryState = False,
    deterministic: Deterministic = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the intermediate graph in OUT: intermediate.pt2 or intermediate.onnx.")
    ] = False,
    target: Target = "2.3",
    engine: Annotated[
        str,
        typer.Option(
            help="native, or x2paddle: X2Paddle in its managed runtime, which is given PyTorch's ONNX export, as a "
            "second opinion."
        ),
    ] = "native",
    into: Annotated[
        Optional[str],
        typer.Option(
            metavar="SPEC",
            help="Put the weights into a paddle.nn.Layer instead of converting the graph: pkg.module:factory, "
            "path/to/file.py:factory, a PaddleNLP folder. MODEL may then be a state dict alone.",
        ),
    ] = None,
    into_arguments: Annotated[
        Optional[list[str]],
        typer.Option("--into-arg", metavar="KEY=VALUE", help="An argument of --into's factory. Repeatable."),
    ] = None,
    rules: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAME|FILE",
            help="With --into: which tensor goes where; bert-paddlenlp, or a YAML file. Repeatable.  [default: the "
            "set that fits]",
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept weights that are not exactly those of the module or layer.")
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Unpickle without restrictions, and run code that a folder brings: it can do anything."
        ),
    ] = False,
    verify: Verify = None,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Where = None,
    timeout: Timeout = 600,
    limit: Budget = None,
    force: Force = False,
) -> Any:
    """Convert a PyTorch model into a Paddle inference model, and prove it."""
    from mconv import api

    with table_on_failure(), stdout_for_the_result(), out.progress(f"opening {model}") as say:
        report = api.torch2paddle(
            model,
            out_dir,
            weights=weights,
            arguments=arguments or (),
            task=task,
            into=into,
            into_arguments=into_arguments or (),
            rules=rules or (),
            partial=partial,
            trust=trust,
            inputs=inputs or (),
            example=example,
            outputs=[n.strip() for o in outputs for n in o.split(",")] if outputs else None,
            via=via,
            strict=strict,
            keep_dtype=keep_dtype,
            carry_state=carry_state,
            deterministic=deterministic,
            keep=keep,
            target=target,
            engine=engine,
            verify=verify,
            runtime=runtime,
            feeds=feeds,
            tolerance=tolerance,
            force=force,
            timeout=timeout,
            limit=limit,
            progress=say,
        )
    for warning in report.warnings:
        out.warn(warning)
    if report.transplant is not None:
        return _transplanted(report, out_dir)
    count = sum(row["count"] for row in report.operators)
    made = sum(report.paddle_operators.values())
    kind = "ATen operators" if report.source["via"] == "export" else "ONNX nodes"
    extra = [f"{report.folded} computed"] if report.folded else []
    extra += [f"{number} {name} fused" for name, number in report.fused.items()]
    done = f" ({', '.join(extra)})" if extra else ""
    out.print(
        f"{out_dir}: {report.source['class']}, {count} {kind} → {made} operators of Paddle "
        f"{report.target['paddle']}{done}"
    )
    out.detail(f"through {report.source['how']}")
    show_report(report)
    return report.to_dict()


def _transplanted(report: Any, out_dir: Path) -> Any:
    """What ``--into`` has done."""
    done = report.transplant
    rows = [r for r in done["tensors"] if r["how"] not in ("", "transposed")]
    if rows:
        columns = ("pytorch", "shape", "paddle", "paddle_shape", "how")
        out.table([c.replace("_", " ") for c in columns], [[str(r.get(c, "")) for c in columns] for r in rows])
    if done["problems"]:
        columns = ("pytorch", "shape", "paddle", "paddle_shape", "problem")
        out.table(
            [c.replace("_", " ") for c in columns],
            [[str(r.get(c, "")) for c in columns] for r in done["problems"]],
        )
    source = report.source
    out.print(
        f"{out_dir}: {done['matched']} of {source['tensors']} tensors → {source['layer']}.{source['method']} "
        f"(rules {', '.join(done['rules'])}) → {sum(report.paddle_operators.values())} operators of Paddle "
        f"{report.target['paddle']} ({report.engine})"
    )
    show_report(report)
    return report.to_dict()
