"""An inference model of any era as ``serving_server/`` and ``serving_client/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mconv.artifacts import output
from mconv.artifacts.described import carry
from mconv.artifacts.provenance import Ahead, Recording, model_sources, neighbour, write_params
from mconv.errors import NotAModelError, UsageError
from mconv.options.serving import ToServing
from mconv.paddle.legalize import legalize
from mconv.page.shown import Shown
from mconv.passes import half_loading
from mconv.printable import require_visible
from mconv.program import files
from mconv.program.copying import copy_file
from mconv.program.dtypes import AttrType
from mconv.program.near import unknown
from mconv.program.params import ArraySource, Record, TensorSource
from mconv.program.program import Port, Program
from mconv.program.stored import Era, ModelFiles, at_least_one
from mconv.program.targets import version_text
from mconv.serving import configure
from mconv.serving.configure import CPP_READER, TYPES, ServingConfig
from mconv.serving.kinds import Written
from mconv.warned import Warned

if TYPE_CHECKING:  # a service is seldom asked for, and half of the imports
    from mconv.serving.service_options import ServiceOptions

# what the official tool calls the files when it is given no names; both servers find them
DEFAULT_NAMES = ("model.pdmodel", "params.pdiparams")


@dataclass(repr=False)
class ServingResult(Shown):
    """What :func:`to_serving` made.

    Attributes:
        source: the program that was read.
        era: how the source is stored.
        saved_by: the Paddle that wrote the source.
        target: the Paddle it was made for, or ``same``.
        server, client: the two folders; None when nothing was written.
        program, params: the files in the server's folder.
        feeds, fetches: the configuration, in the servers' order.
        fetch_order: ``model`` or ``sorted``.
        linked: whether the parameters are a hard link to the source's.
        changes: what bringing it down to the target changed, with the number of operators.
        warnings: what the user has to know.
        config: the configuration as text.
        engine: what converted it.
        service: the pipeline service, where one was asked for.
    """

    source: Path
    era: str
    saved_by: str
    target: str
    server: Optional[Path] = None
    client: Optional[Path] = None
    program: Optional[Path] = None
    params: Optional[Path] = None
    feeds: list[configure.ServingVar] = field(default_factory=list)
    fetches: list[configure.ServingVar] = field(default_factory=list)
    fetch_order: str = "model"
    linked: bool = False
    changes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    config: str = ""
    engine: str = "native"
    service: Optional[Written] = None


@dataclass
class Prepared:
    """A program that is ready to be written, its parameters and its configuration.

    ``unchanged``: the program is the one in the source's file.
    """

    program: Program
    items: list[tuple[str, TensorSource]]
    config: ServingConfig
    result: ServingResult
    unchanged: bool = False


def to_serving(chosen: ToServing) -> ServingResult:
    """Convert a Paddle inference model of any era, but no ``.json``, for Paddle Serving.

    Raises:
        NotAModelError, CorruptModelError, UnsupportedError, UsageError, OutputExistsError
    """
    found = files.locate(chosen.path)
    with Ahead([found.params] if chosen.provenance and not chosen.show else []) as ahead:
        program, params = files.load_model(found)
        prepared = prepare(found, program, list(params.items()), chosen)
        if not chosen.show:
            write(prepared, found, chosen, ahead)
    return prepared.result


def prepare(
    found: ModelFiles, program: Program, items: Sequence[tuple[str, TensorSource]], chosen: ToServing
) -> Prepared:
    """Bring a program (which is changed) down to the target and work out its configuration.

    Args:
        items: (name, tensor) of every parameter, in byte order of the names.
    """
    feeds, fetches = program.feeds, program.fetches
    if not fetches:
        raise NotAModelError(
            f"{found.program}: a program without outputs (it has no fetch operator)",
            "save it with paddle.static.save_inference_model or paddle.jit.save",
        )
    result = ServingResult(found.program, found.era.name.lower(), version_text(program.version), str(chosen.target))
    result.fetch_order = chosen.fetch_order
    feed_names = check_aliases("feed", [p.name for p in feeds], chosen.feed_alias or {})
    fetch_names = check_aliases("fetch", [p.name for p in fetches], chosen.fetch_alias or {})
    result.warnings += alias_warnings(feed_names, fetch_names, [p.name for p in fetches])
    unread = [
        f"{p.name!r} ({p.dtype.label})" for p in feeds if p.dtype is not None and TYPES.get(p.dtype) not in CPP_READER
    ]
    if unread:
        result.warnings.append(
            f"input {', '.join(unread)}: the C++ server (paddle_serving_server.serve) reads no such type, only int64, "
            "float32, int32, float16, uint8, int8 and strings; the Python pipeline takes it"
        )
    result.warnings += filter(None, [half_loading.for_gpus(program)])
    deep = [f"{p.name!r} ({p.var.lod_level})" for p in feeds if p.var.lod_level > 1]
    if deep:
        result.warnings.append(
            f"input {', '.join(deep)} has more than one level of LoD: Paddle Serving passes one, so the model cannot be "
            "served as it was trained; sequences of sequences have to be laid out by the model itself"
        )
    altered = False
    if chosen.goal is not None:
        legal = legalize(program, chosen.goal, dict(items))
        result.changes = legal.changes
        result.warnings += legal.notes
        altered = bool(legal.changes or legal.notes or legal.parameters)
        items = fitting(program, [*items, *legal.parameters.items()])
        early = _sliced_early(program, chosen.pipeline)
        if early:
            altered = True
            result.changes["products of each position, of which one is read, computed for that one"] = early
    reordered, notes = order_fetches(program, chosen.fetch_order == "sorted")
    result.warnings += notes
    config = configure.from_program(program, feed_names, fetch_names)
    unchanged = found.era is not Era.PIR and not (altered or reordered) and bool(program.parameters)
    program, complete = at_least_one(program, items)
    result.feeds, result.fetches, result.config = config.feeds, config.fetches, config.to_text().decode("ascii")
    return Prepared(program, list(complete), config, result, unchanged)


def _sliced_early(program: Program, pipeline: Optional[Mapping[str, Any]]) -> int:
    """Where the service's server gains by it, have the program compute no position that nothing reads."""
    if pipeline is None:
        return 0
    from mconv.passes.early_slice import slice_early
    from mconv.serving import servers, service_options

    return slice_early(program) if servers.chosen(service_options.options_from(pipeline)).early_slice else 0


def fitting(program: Program, items: Iterable[tuple[str, TensorSource]]) -> list[tuple[str, TensorSource]]:
    """The parameters in the file's order, with scalars in the shape that the legalised program declares."""
    by_name = dict(items)
    found: list[tuple[str, TensorSource]] = []
    for var in program.parameters:
        source = by_name[var.name]
        if source.shape == () and var.shape == (1,):
            source = ArraySource(source.array().reshape(1), source.dtype)
        found.append((var.name, source))
    return found


def check_aliases(kind: str, names: Sequence[str], aliases: Mapping[str, str]) -> dict[str, str]:
    """The aliases, checked against the model's own names.

    Raises:
        UsageError: an alias for a name that is not there, an empty one, or two variables under one name.
    """
    for name, alias in aliases.items():
        if name not in names:
            raise unknown(f"--{kind}-alias", kind, name, names)
        if not alias:
            raise UsageError(f"--{kind}-alias: the alias of {name!r} is empty")
        require_visible(alias, f"--{kind}-alias")
    called = [aliases.get(name, name) for name in dict.fromkeys(names)]
    twice = sorted({c for c in called if called.count(c) > 1})
    if twice:
        raise UsageError(f"--{kind}-alias: two variables would be called {twice[0]!r}")
    return {name: alias for name, alias in aliases.items() if name != alias}


def alias_warnings(feeds: Mapping[str, str], fetches: Mapping[str, str], fetch_names: Sequence[str]) -> list[str]:
    """What the pipeline's local predictor of paddle-serving-app 0.9.0 does with aliases (``docs/formats.md``)."""
    found = [
        f"feed alias {name} → {alias}: works with the C++ server only; the Python pipeline's local predictor "
        f"looks for {name!r} and raises KeyError"
        for name, alias in feeds.items()
    ]
    kept = [name for name in dict.fromkeys(fetch_names) if name not in fetches]
    if fetches and kept:
        found.append(
            f"only some fetches are renamed ({', '.join(fetches)} but not {', '.join(kept)}): the Python pipeline's "
            "local predictor silently drops the renamed ones; rename all or none"
        )
    return found


def order_fetches(program: Program, by_name: bool) -> tuple[bool, list[str]]:
    """Put the fetch operators into the order asked for, each variable once.

    Returns:
        Whether the program changed, and warnings.
    """
    ports = program.fetches
    chosen: dict[str, Port] = {}
    for port in ports:
        chosen.setdefault(port.name, port)
    warnings = []
    if len(chosen) < len(ports):
        twice = sorted({p.name for p in ports if [q.name for q in ports].count(p.name) > 1})
        warnings.append(f"output {', '.join(map(repr, twice))} is fetched more than once; Paddle Serving gets it once")
    names = sorted(chosen) if by_name else list(chosen)
    if names == [p.name for p in ports]:
        return False, warnings
    main = program.main
    main.ops[:] = [op for op in main.ops if op.type != "fetch"]
    for col, name in enumerate(names):
        chosen[name].op.set_attr("col", col, AttrType.INT)
        main.ops.append(chosen[name].op)
    if by_name:
        warnings.append(f"the outputs are sorted by name, not in the order of the model: {', '.join(names)}")
    return True, warnings


def file_names(found: ModelFiles) -> tuple[str, str]:
    """The names in ``serving_server/``: the source's where both servers find them, else the official tool's own."""
    program = found.program.name
    params = found.params.name if found.params is not None else ""
    if (program, params) == ("__model__", "__params__"):
        return program, params
    if program.endswith(".pdmodel") and params.endswith(".pdiparams"):
        return program, params
    if program.endswith((".pdmodel", ".json")) and not params:
        stem = program.rpartition(".")[0]
        return f"{stem}.pdmodel", f"{stem}.pdiparams"
    if program.endswith(".json") and params.endswith(".pdiparams"):
        return program[: -len("json")] + "pdmodel", params
    return DEFAULT_NAMES


def write(
    prepared: Prepared,
    found: ModelFiles,
    chosen: ToServing,
    ahead: Optional[Ahead] = None,
    before: Optional[tuple[str, Recording]] = None,
) -> None:
    """Write the folders, all or none, and note their files in ``prepared.result``; the service's only if asked for.

    Args:
        ahead: hashes of *found* that were begun before.
        before: the command that this is a step of, and the record of the step that made *found*.
    """
    result = prepared.result
    server, client, service = (
        Path(chosen.out) / name for name in (chosen.serving_server, chosen.serving_client, chosen.service_dir)
    )
    program_name, params_name = file_names(found)
    source = whole_file(prepared.items, found)
    sources = found.paths
    around = None
    pipeline: Optional[ServiceOptions] = None
    if chosen.pipeline is not None:
        from mconv.serving import scaffold

        pipeline = scaffold.options_from(chosen.pipeline)
        model = scaffold.relative(server, service)
        around = scaffold.plan(
            prepared.config,
            prepared.program,
            pipeline,
            model=model,
            beside=found.program.absolute().parent if chosen.beside is None else Path(chosen.beside),
        )
        sources += around.copies.values()
    folders = [server, client, *([service] if around is not None else [])]
    with (
        output.staged_many(folders, force=chosen.force, protect=sources) as (new_server, new_client, *new_service),
        _record(found, prepared, ahead, before) if chosen.provenance else nullcontext() as record,
    ):
        result.linked = write_params(
            new_server / params_name, prepared.items, whole=source, link=chosen.link, record=record
        )
        if chosen.link and not result.linked:
            why = "they are not one unchanged file in the source" if source is None else "the file systems forbid it"
            result.warnings.append(Warned("parameters-copied", f"the parameters are copied, not linked: {why}"))
        if prepared.unchanged:
            copy_file(found.program, new_server / program_name)
        else:
            (new_server / program_name).write_bytes(prepared.program.to_bytes())
        write_config(prepared.config, new_server, new_client)
        carry(found, new_server, prepared.program.feeds)
        if around is not None:
            around.write(new_service[0], new_server)
        if record is not None:
            copies = {params_name: source} if source is not None else {}
            if prepared.unchanged:
                copies[program_name] = found.program
            record.write(new_server, copies=copies, beside=neighbour(server, client, new_client))
    result.server, result.client = server, client
    result.program, result.params = server / program_name, server / params_name
    if around is not None and pipeline is not None:
        result.service = around.written(service, pipeline)


def _record(
    found: ModelFiles, prepared: Prepared, ahead: Optional[Ahead], before: Optional[tuple[str, Recording]]
) -> Recording:
    if before is None:
        return recording(found, prepared.result, [s for _, s in prepared.items], ahead)
    command, first = before
    return first.continued(command, "to-serving", _options(prepared.result))


def _options(result: ServingResult) -> dict[str, Any]:
    """What changes the bytes."""
    return {
        "engine": result.engine,
        "fetch_order": result.fetch_order,
        "feed_alias": {v.name: v.alias for v in result.feeds if v.alias != v.name},
        "fetch_alias": {v.name: v.alias for v in result.fetches if v.alias != v.name},
    }


def recording(
    found: ModelFiles,
    result: ServingResult,
    items: Iterable[TensorSource] = (),
    ahead: Optional[Ahead] = None,
    versions: Optional[Mapping[str, str]] = None,
) -> Recording:
    """The record of a conversion, with what changes its bytes."""
    sources = model_sources(found, items)
    return Recording(
        "to-serving", sources, target=result.target, options=_options(result), versions=versions, ahead=ahead
    )


def write_config(config: ServingConfig, server: Path, client: Path) -> None:
    """The four configuration files."""
    text, binary = config.to_text(), config.to_binary()
    (server / configure.SERVER_TEXT).write_bytes(text)
    (server / configure.SERVER_BINARY).write_bytes(binary)
    (client / configure.CLIENT_TEXT).write_bytes(text)
    (client / configure.CLIENT_BINARY).write_bytes(binary)


def whole_file(items: Sequence[tuple[str, TensorSource]], found: ModelFiles) -> Optional[Path]:
    """The source's parameter file if exactly its records are to be written, each once and in their order."""
    if found.params is None:
        return None
    end = 0
    for _, source in items:
        if not isinstance(source, Record) or source.path != found.params or source.record_offset != end:
            return None
        end = source.end
    return found.params if end == found.params.stat().st_size else None
