"""``mconv bench``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mconv.cli.bench_tables import show_models, show_services
from mconv.cli.output import out
from mconv.cli.parameters import Given, taken, with_options
from mconv.errors import UsageError
from mconv.options.bench import Bench, BenchModels, BenchServices
from mconv.options.declare import declared
from mconv.options.verify import Reported
from mconv.printable import printable

TITLE = "mconv bench"


class _Bench(Reported, Bench):
    """With the files that functions of their own write."""


# what each of the two has and the other has not
_OF_MODELS, _OF_SERVICES = (
    {d.name for d in declared(kind)} - {d.name for d in declared(other)} - {"inputs", "feeds"}
    for kind, other in ((BenchModels, BenchServices), (BenchServices, BenchModels))
)


@with_options(_Bench, without=("models", "urls", "feeds"), threads={"default": None}, loops={"default": None})
def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Models (.onnx, Paddle of any era), or addresses of services: [LABEL=]http://…, grpc://HOST:PORT.",
        ),
    ],
    given: Given,
) -> Any:
    """Measure how fast models run in each runtime, or how much load services bear; a wrong answer is no result."""
    from mconv import api
    from mconv.recipe import api as recipes

    services = [api.is_address(source) for source in sources]
    if any(services) and not all(services):
        model, address = (printable(sources[services.index(one)], 100) for one in (False, True))
        raise UsageError(
            f"models and services are measured in different ways: {model} is taken for a model, {address} is a service",
            "give either models or addresses",
        )
    wrong = [
        d for d in declared(_Bench) if d.name in given and d.name in (_OF_MODELS if all(services) else _OF_SERVICES)
    ]
    if wrong:
        what = "models" if all(services) else "services"
        raise UsageError(f"{' and '.join(d.flag for d in wrong)}: for {what}, which these are not")
    files = taken(given, "junit_file", "summary_file")
    pictures, limits = taken(given, "html", "plot"), taken(given, "max_p99", "min_tps")
    api.bench_files(**pictures)  # before minutes of measuring
    api.judge_bench(None, **limits)
    with out.progress("measuring") as say:
        if all(services):
            found: Any = api.bench_services(sources, **given, progress=say)
        else:
            given.update({"feeds": given.pop("inputs")} if "inputs" in given else {})
            found = api.bench_models(sources, **given, progress=say)
    (show_services if all(services) else show_models)(found)
    out.note(*found.notes)
    api.bench_files(found, **pictures)
    judged, failure = api.judge_bench(found, **limits)
    reported = recipes.of_bench(judged, found.seconds)
    recipes.write_reports(reported, TITLE, **files)
    if failure is not None:
        failure.report = found
        raise failure
    return found
