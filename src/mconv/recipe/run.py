"""One recipe: its steps in order, each in a process of its own, each only where something changed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from mconv.artifacts.hashing import BLAKE3, SHA256
from mconv.artifacts.provenance import expand
from mconv.errors import MconvError, NotAModelError
from mconv.program.copying import read_small
from mconv.recipe import cache, child, remote
from mconv.recipe.load import Recipe
from mconv.recipe.plan import Found, plan, rules_of, wrong_step
from mconv.recipe.results import CACHED, DONE, FAILED, SKIPPED, Event, Notify, RecipeResult, StepResult
from mconv.recipe.step import Step, call, ingredients
from mconv.yaml_text import NotYaml, parsed

SOURCE = "source"
_FILES = ("tokenizer", "labels")  # options of a service that name files
_SET = re.compile(r"[\w-]+")  # the name of a set of rules; any other text names a file
_GRACE = 5.0  # seconds
_RULES = 1 << 20  # bytes
_CRASHED = 9  # exit code of RuntimeFailedError


@dataclass(frozen=True)
class Job:
    """One recipe to run; can be sent to another process.

    Attributes:
        out: the folder in which the recipe's own folder lies.
        force: run all steps, whatever is known.
    """

    recipe: Recipe
    out: Path
    force: bool = False

    @property
    def folder(self) -> Path:
        return self.out / self.recipe.name


def run_recipe(job: Job, notify: Notify) -> RecipeResult:
    """Run one recipe. Nothing is raised for what goes wrong: it is in the result."""
    recipe = job.recipe
    made = RecipeResult(recipe.name, str(recipe.file), recipe.profile, str(job.folder))
    try:
        home = job.folder / cache.FOLDER
        with cache.locked(home, lambda: notify(Event(recipe.name, SOURCE, "running", "another run holds the folder"))):
            _Run(job, made, notify).all()
    except OSError as e:
        error: dict[str, Any] = {"kind": "OutputExistsError", "message": f"{e.filename or job.folder}: {e.strerror}", "hint": None,
                 "exit_code": 6, "rows": [], "proof": None}  # fmt: skip
        made.steps.append(StepResult(SOURCE, FAILED, error=error))
    return made


class _Run:
    def __init__(self, job: Job, made: RecipeResult, notify: Notify):
        self.job, self.made, self.notify = job, made, notify
        self.home = job.folder / cache.FOLDER
        self.hashes = cache.Hashes(self.home / "hashes.json")
        self.contents: dict[str, str] = {}  # step's id → hash of what it made

    def all(self) -> None:
        recipe = self.job.recipe
        found, steps = Found(), []
        try:
            found = self._source()
            steps = plan(recipe, found, self.job.folder)
        except MconvError as e:
            self._end(StepResult(SOURCE, FAILED, error=child.describe(e), line=getattr(e, "line", 1)))
        for step in steps:
            if any(not s.ok for s in self.made.steps):
                break
            self._end(self._step(step))
        self.hashes.save()
        done = [s.name for s in self.made.steps if s.name != SOURCE]
        for spec in recipe.steps[len(done) :]:
            self._end(StepResult(spec.name, SKIPPED, reason="an earlier step failed", line=spec.line))

    def _end(self, result: StepResult) -> None:
        self.made.steps.append(result)
        text = result.error["message"] if result.error else result.reason
        self.notify(Event(self.made.name, result.name, result.status, text, result.seconds, result.in_part))

    # the model -------------------------------------------------------------------------------------------------------

    def _source(self) -> Found:
        recipe, start = self.job.recipe, time.perf_counter()
        source, fetched = recipe.source, False

        def progress(text: str) -> None:
            nonlocal fetched
            fetched = True
            self.notify(Event(self.made.name, SOURCE, "running", text))

        def find(text: Optional[str], pin: Optional[str]) -> Optional[Path]:
            if text is None:
                return None
            path = remote.resolve(text, pin, recipe.folder, install=source.install, progress=progress)
            if pin is not None and not remote.is_remote(text):
                remote.require_pin(path, text, pin, self.hashes.files(remote.parts(path), SHA256))
            return path

        given = recipe.pipeline if isinstance(recipe.pipeline, dict) else {}
        found = Found(
            find(source.path, source.sha256),
            find(source.weights, source.weights_sha256),
            find(recipe.verification.get("data"), recipe.verification.get("sha256")),
            {name: path for name in _FILES if (path := find(given.get(name), None)) is not None},
            self._rules(find),
        )
        if fetched:
            self._end(StepResult(SOURCE, DONE, round(time.perf_counter() - start, 3), "fetched"))
        return found

    def _rules(self, find: Callable[[str, Optional[str]], Optional[Path]]) -> dict[str, list[Path]]:
        """The files of rules that steps name, each with those that it extends; sets of mconv's own are none."""
        found: dict[str, list[Path]] = {}
        for spec in self.job.recipe.steps:
            for text, pin in rules_of(spec).items() if spec.name == "torch2paddle" else ():
                if _SET.fullmatch(text):
                    continue
                try:
                    path = find(text, pin)
                    if path is None or not path.is_file():
                        raise NotAModelError(
                            f"rules: {text}: there is no such file", "a set of mconv's own has no .yaml"
                        )
                    found[text] = extended(path)
                except MconvError as e:
                    raise wrong_step(self.job.recipe, spec, e) from None
        return found

    # the steps -------------------------------------------------------------------------------------------------------

    def _step(self, step: Step) -> StepResult:
        try:
            parts = ingredients(step, self._inputs(step), cache.versions(step.kind or step.name))
        except MconvError as e:
            return StepResult(step.name, FAILED, error=child.describe(e), line=step.line)
        key, file = cache.digest(parts), self.home / f"{step.id}.json"
        state = None if self.job.force else cache.load_state(file)
        reason = "asked for" if self.job.force else "not done yet"
        if state is not None:
            reason = state.why_not(key, parts, self.job.folder, self.hashes)
            if not reason:
                self.contents[step.id] = state.content()
                return replace(StepResult(**state.result), status=CACHED, reason="", line=step.line)
        self.notify(Event(self.made.name, step.name, "running", reason))
        start = time.perf_counter()
        answer = self._child(step)
        result = StepResult(step.name, DONE, round(time.perf_counter() - start, 3), reason, line=step.line)
        if "error" in answer:
            error = answer["error"]
            result.proof = error.pop("proof", None)
            return replace(result, status=FAILED, error=error)
        result.outputs = list(step.outputs)
        result.warnings, result.proof = answer["result"]["warnings"], answer["result"]["proof"]
        known, depends = self._recorded(step)
        made = cache.mark(self.job.folder, step.outputs, known)
        state = cache.State(key, parts, depends, made, {**vars(result), "line": 1})
        cache.save_state(file, state)
        self.contents[step.id] = state.content()
        return result

    def _inputs(self, step: Step) -> dict[str, Any]:
        """Parameter → what it reads: the content of an earlier output, or of files of the source."""
        found: dict[str, Any] = {}
        for name, path in step.reads.items():
            if name in step.made_by:
                found[name] = self.contents[step.made_by[name]]
            elif path.exists():
                found[name] = [h.to_dict() for h in self.hashes.files(expand([path]))]
            else:
                found[name] = path.name  # a prefix, whose files the record of the output names
        if step.name in ("verify", "serve-check"):  # comparisons see all of the chain, whatever they are called with
            found["chain"] = dict(self.contents)
        return found

    def _recorded(self, step: Step) -> tuple[dict[str, str], dict[str, str]]:
        """From the output's provenance: the hashes of what was made, and the files of the source that it names."""
        if not step.record:
            return {}, {}
        try:
            record = json.loads((self.job.folder / step.record).read_text("utf-8"))
        except (OSError, ValueError):
            return {}, {}
        known = {f"{os.path.dirname(step.record)}/{f['name']}": f[BLAKE3] for f in record["files"]}
        depends: dict[str, str] = {}
        for parameter, path in step.reads.items():
            if parameter in step.made_by:
                continue
            for file in record["sources"]:
                for candidate in (path / file["name"], path.parent / file["name"]):
                    with contextlib.suppress(MconvError):
                        if candidate.is_file() and self.hashes.of(candidate) == file[BLAKE3]:
                            depends[os.path.abspath(candidate)] = file[BLAKE3]
        return known, depends

    def _child(self, step: Step) -> dict[str, Any]:
        """Have a process do it; gives ``{"result": …}`` or ``{"error": …}``."""
        verb, arguments = call(step, self.job.folder)
        log = self.home / f"{step.id}.log"
        reading, writing = os.pipe()
        environ = {**os.environ, "PYTHONHASHSEED": "0"}
        with open(log, "wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "mconv.recipe.child", str(writing)],
                stdin=subprocess.PIPE, stdout=sink, stderr=subprocess.STDOUT, pass_fds=[writing],
                env=environ, cwd=self.job.recipe.folder,
            )  # fmt: skip
        os.close(writing)
        assert process.stdin is not None
        answer: dict[str, Any] = {}
        try:
            with open(reading, encoding="utf-8", errors="replace") as lines:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
                    process.stdin.flush()
                for line in lines:
                    message = _message(line)
                    if "progress" in message:
                        self.notify(Event(self.made.name, step.name, "running", message["progress"]))
                    else:
                        answer = message
        except BaseException:
            _end(process)
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if answer:
            return answer
        return {"error": _crash(code, log)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step's process so that it cleans up behind itself; by force where that takes long."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def extended(rules: Path) -> list[Path]:
    """A file of rules and the files that it extends; what is wrong in one is told by who reads the rules."""
    found = [rules]
    for path in found:
        with contextlib.suppress(MconvError, NotYaml):
            held = parsed(read_small(path, _RULES, "is more than any set of rules has"))
            names = held.get("extends", []) if isinstance(held, dict) else []
            for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
                beside = path.parent / str(name)
                if beside.is_file() and beside not in found:
                    found.append(beside)
    return found


def _message(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _crash(code: int, log: Path) -> dict[str, Any]:
    import signal

    how = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    words = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    last = f": {words[-1][:300]}" if words else ""
    return {
        "kind": "RuntimeFailedError", "message": f"the step's process ended with {how}{last}", "hint": f"its log is {log}",
        "exit_code": _CRASHED, "rows": [], "proof": None,
    }  # fmt: skip
