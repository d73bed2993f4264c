"""The unmodified converter of paddle-serving-client 0.9.0, run in a Python that has it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mconv.artifacts import output
from mconv.artifacts.provenance import neighbour
from mconv.errors import RuntimeFailedError, UnsupportedError, UsageError
from mconv.options.serving import OFFICIAL, ToServing
from mconv.program import files
from mconv.program.targets import version_text
from mconv.serving import configure
from mconv.serving.convert import ServingResult, alias_warnings, check_aliases, recording

ENGINE = OFFICIAL
MODULE = "paddle_serving_client"


def convert(
    chosen: ToServing, python: Sequence[str], environ: Mapping[str, str], *, timeout: float = 1800.0
) -> ServingResult:
    """Convert with ``python -m paddle_serving_client.convert``.

    The outputs come sorted by name; aliases are handed over in the tool's own order, so they are by name here too.

    Args:
        python: the command that starts the Python with the package.
        environ: its environment.
        timeout: seconds.

    Raises:
        RuntimeFailedError: the tool failed; carries its last words.
        UnsupportedError: a PIR model, which it cannot read.
    """
    found = files.locate(chosen.path)
    if found.era is files.Era.PIR:
        raise UnsupportedError(
            f"{found.program}: {ENGINE} 0.9.0 cannot read a PIR program (.json)", "use --engine native"
        )
    program = files.load_program(found)
    feeds = [p.name for p in program.feeds]
    fetches = sorted({p.name for p in program.fetches})
    feed_names = check_aliases("feed", feeds, chosen.feed_alias or {})
    fetch_names = check_aliases("fetch", fetches, chosen.fetch_alias or {})
    if any("," in alias for alias in (*feed_names.values(), *fetch_names.values())):
        raise UsageError(f"{ENGINE} takes no alias with a comma")
    result = ServingResult(found.program, found.era.name.lower(), version_text(program.version), "same", engine=ENGINE)
    result.fetch_order = "sorted"
    result.warnings = alias_warnings(feed_names, fetch_names, fetches)
    server, client = Path(chosen.out) / chosen.serving_server, Path(chosen.out) / chosen.serving_client
    sources = [p for p in (found.program, found.params) if p is not None]
    with output.staged_many([server, client], force=chosen.force, protect=sources) as (new_server, new_client):
        command = [*python, "-m", f"{MODULE}.convert", "--dirname", os.path.realpath(found.folder)]
        command += ["--serving_server", str(new_server), "--serving_client", str(new_client)]
        if not found.separate:
            command += ["--model_filename", found.program.name]
        if found.params is not None:
            command += ["--params_filename", os.path.relpath(found.params, found.folder)]
        if feed_names:
            command += ["--feed_alias_names", ",".join(feed_names.get(n, n) for n in feeds)]
        if fetch_names:
            command += ["--fetch_alias_names", ",".join(fetch_names.get(n, n) for n in fetches)]
        _run(command, environ, timeout)
        config = configure.find(new_server)
        written = sorted(p.name for p in new_server.iterdir())
        if config is None or len(written) != 4:
            raise RuntimeFailedError(f"{ENGINE} wrote only {', '.join(written) or 'nothing'}")
        names = [n for n in written if n not in (configure.SERVER_TEXT, configure.SERVER_BINARY)]
        result.feeds, result.fetches, result.config = config.feeds, config.fetches, config.to_text().decode("ascii")
        tensors = files.records(found, program)
        if chosen.provenance:
            with recording(found, result, tensors, versions={ENGINE: "0.9.0"}) as record:
                record.write(new_server, beside=neighbour(server, client, new_client))
    result.server, result.client = server, client
    is_params = [n.endswith("params") for n in names]
    result.params, result.program = server / names[is_params.index(True)], server / names[is_params.index(False)]
    return result


def _run(command: Sequence[str], environ: Mapping[str, str], timeout: float) -> None:
    # in an empty folder: the tool leaves logs in the current one
    with tempfile.TemporaryDirectory(prefix="mconv-") as scratch:
        try:
            done = subprocess.run(
                list(command),
                env=dict(environ),
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            raise RuntimeFailedError(f"{ENGINE} was stopped after {timeout:.0f} s") from None
        except OSError as e:
            raise RuntimeFailedError(f"{command[0]} cannot be started ({e.strerror})") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise RuntimeFailedError(
            f"{ENGINE} failed ({how}): {lines[-1][:300] if lines else 'no output'}",
            "the native engine (--engine native) needs no Paddle",
        )
