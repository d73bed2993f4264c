"""The options that several commands have: each is declared here once, with the text that ``--help`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

# converting ---------------------------------------------------------------------------------------------------------

PaddleModel = Annotated[Path, typer.Argument(help="A Paddle model: a folder, a .pdmodel or __model__, or a prefix.")]
OutFolder = Annotated[
    Path, typer.Argument(metavar="OUT", help="The folder for inference.pdmodel, inference.pdiparams, report.json.")
]
Target = Annotated[str, typer.Option(help="The Paddle that will load it: 2.3, 2.6, 3, 1.8.")]
Arguments = Annotated[
    Optional[list[str]],
    typer.Option("--arg", metavar="KEY=VALUE", help="An argument of the factory, a Python literal. Repeatable."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Unpickle weights without restrictions: they can run code.")]
FeedAlias = Annotated[
    Optional[list[str]], typer.Option(metavar="OLD=NEW", help="What clients call an input; repeatable.")
]
FetchAlias = Annotated[
    Optional[list[str]], typer.Option(metavar="OLD=NEW", help="What clients call an output; repeatable.")
]
Link = Annotated[bool, typer.Option("--link", help="Hard-link the parameters instead of copying them.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is at OUT.")]
ForceThere = Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")]

Budget = Annotated[
    Optional[str],
    typer.Option(
        "--limit", metavar="SIZE", help="Memory that the model may ask for beside its files' size: 8G.  [default: 1G]"
    ),
]

CarryState = Annotated[
    bool,
    typer.Option(
        "--carry-state",
        help="Make inputs and outputs of the buffers that forward changes, such as a stream's cache.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Take the means of random numbers that forward draws (zeros for randn), in the reference and the result.",
    ),
]
Constants = Annotated[
    Optional[list[str]],
    typer.Option(
        "--const", metavar="NAME=VALUE", help="Give an input of an ONNX file one value for good: sr=16000. Repeatable."
    ),
]

# proving ------------------------------------------------------------------------------------------------------------

Verify = Annotated[
    Optional[bool],
    typer.Option(
        "--verify/--no-verify", help="Run both models and compare.  [default: if there is a Paddle to run it in]"
    ),
]
Feeds = Annotated[
    Optional[Path], typer.Option("--inputs", metavar="X.NPZ", help="Inputs to verify with, instead of random ones.")
]
Limit = Annotated[
    Optional[float],
    typer.Option("--tolerance", help="How far outputs may be apart, absolute and relative.  [default: 1e-5, 1e-4]"),
]
Where = Annotated[
    Optional[str],
    typer.Option("--runtime", help="Where to verify: a managed runtime or `current`.  [default: the target's]"),
]
ModelTimeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For running the model.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For each run of either model.")]

# reporting ----------------------------------------------------------------------------------------------------------

JUnit = Annotated[Optional[Path], typer.Option("--junit", metavar="FILE", help="Write a JUnit XML report.")]
Summary = Annotated[Optional[Path], typer.Option("--summary", metavar="FILE", help="Write a Markdown summary.")]
