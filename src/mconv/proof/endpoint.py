"""A running service, asked over HTTP: Paddle Serving's pipeline, or what speaks the Open Inference Protocol. The forms of
requests are those of :mod:`mconv.serving.servers.requests`; answers of services of any origin are read here.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional, Union

import numpy as np

from mconv.errors import RuntimeFailedError, UsageError
from mconv.program.closing import Closing
from mconv.proof.exchange import exchange
from mconv.proof.feeds import InputSpec
from mconv.proof.runners import Answers
from mconv.serving.configure import TYPES
from mconv.serving.servers.requests import FIELDS, FORMS, FROM_OPEN_TYPES, OPEN_INFERENCE, form_of, message

_BY_NUMBER = {number: dtype for dtype, number in TYPES.items()}
_TOKEN = re.compile(r"[\[\]]|[^\s,\[\]]+")
_WORDS = {"True": True, "False": False, "true": True, "false": False, "nan": float("nan"), "inf": float("inf"),
          "-inf": float("-inf")}  # fmt: skip
# of text_input.py of the services that mconv writes
_NO_TEXT = re.compile(r" is (?:no text|an input of the model)")


def is_url(model: object) -> bool:
    """Whether a source is a service, not a file."""
    return str(model).startswith(("http://", "https://"))


class EndpointRunner(Closing):
    """A service that runs already.

    Args:
        url: where it takes requests: ``http://HOST:PORT/SERVICE/prediction``, or, by the Open Inference Protocol,
            ``http://HOST:PORT/v2/models/NAME/infer``.
        specs: its inputs under the names that it takes.
        form: ``key-value`` or ``tensors``, how Paddle Serving is sent the inputs.
        timeout: seconds for one request.

    Raises:
        UsageError: *url* or *form* is none.
    """

    def __init__(self, url: str, specs: Sequence[InputSpec] = (), *, form: str = "key-value", timeout: float = 600):
        try:
            parts = urllib.parse.urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:  # http://[
            sound = False
        if not sound:
            raise UsageError(f"{url}: not the address of a service", "http://127.0.0.1:18082/SERVICE/prediction")
        if form not in FORMS:
            raise UsageError(f"unknown form of request {form!r}", f"forms are {', '.join(FORMS)}")
        self.url, self.timeout = url, timeout
        self.form = OPEN_INFERENCE if form_of(parts.path) == OPEN_INFERENCE else form
        self.label = f"the service at {url}"
        self._specs = list(specs)

    def specs(self) -> list[InputSpec]:
        return self._specs

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        """Ask for each input set.

        JSON knows no types: whole numbers come as int64, others as float64, see :func:`typed`.

        Raises:
            RuntimeFailedError: it cannot be reached, does not answer in time, or answers an error or nonsense.
            UnsupportedError: requests have no field for an input's type.
        """
        names: list[str] = []
        outputs: list[list[np.ndarray]] = []
        seconds = []
        for feed in sets:
            start = time.perf_counter()
            found = self._ask(feed)
            seconds.append(time.perf_counter() - start)
            if names and list(found) != names:
                raise RuntimeFailedError(f"{self.label} answers with {', '.join(found)} after {', '.join(names)}")
            names = list(found)
            outputs.append(list(found.values()))
        kinds = [[a.dtype.name for a in row] for row in outputs]
        return Answers(names, outputs, kinds, "", seconds)

    def _ask(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        text = self._post(json.dumps(message(feed, self.form)).encode())
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise RuntimeFailedError(f"{self.label} answers no JSON: {_short(text)}") from None
        if not isinstance(answer, dict):
            raise RuntimeFailedError(f"{self.label} answers no JSON object: {_short(text)}")
        try:
            return self._read(answer)
        except RecursionError:  # less deep than JSON may be, and deeper than numpy and the errors take it
            raise RuntimeFailedError(f"{self.label} answers what is nested too deeply: {_short(text)}") from None

    def _post(self, body: bytes) -> str:
        hint = "is it running? `mconv serve-check` tries a model's service"
        reply = exchange(self.url, self.label, body, timeout=self.timeout, hint=hint)
        text = reply.body.decode("utf-8", "replace")
        if reply.status != 200:
            paths = "/SERVICE/prediction or /v2/models/NAME/infer, with the service's name"
            raise RuntimeFailedError(
                f"{self.label} answers HTTP status {reply.status}: {_short(text) or reply.reason}",
                f"the path is {paths}" if reply.status == 404 else None,
            )
        return text

    def _read(self, answer: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if self.form == OPEN_INFERENCE:
            outputs = answer.get("outputs")
            if answer.get("error") or not isinstance(outputs, list) or not outputs:
                raise RuntimeFailedError(f"{self.label} answers without outputs: {_short(json.dumps(answer))}")
            return {name: array for o in outputs for name, array in [self._from_output(o)] if array is not None}
        number = answer.get("err_no", answer.get("errNo", 0))
        if number not in (0, "0", None):
            said = _short(
                str(answer.get("err_msg") or answer.get("errMsg") or answer.get("error") or "no reason given")
            )
            hint = None
            if self.form == "key-value" and "npdata" in said:  # a plain Op, which takes no texts
                hint = "it takes no texts: ask it with --request tensors"
            if _NO_TEXT.search(said):
                hint = "it takes texts: `mconv serve-check FOLDER` compares the service of a folder with its model"
            raise RuntimeFailedError(f"{self.label} answers error {number}: {said}", hint)
        found: dict[str, np.ndarray] = {}
        keys, values = answer.get("key") or [], answer.get("value") or []
        if not isinstance(keys, list) or not isinstance(values, list) or len(keys) != len(values):
            raise RuntimeFailedError(
                f"{self.label} answers with keys and values that do not fit together: {_short(json.dumps(answer))}"
            )
        values_of = {str(key): value for key, value in zip(keys, values)}
        for key, value in values_of.items():
            if key.endswith(".shape") and key[: -len(".shape")] in values_of:
                continue
            if key in _REMARKS and isinstance(value, str) and value.startswith(('["', '[["')):
                continue
            found[key] = self._array(key, value)
            if not found[key].size and f"{key}.shape" in values_of:  # JSON does not carry it
                found[key] = self._empty(key, self._array(f"{key}.shape", values_of[f"{key}.shape"]))
        tensors = answer.get("tensors") or []
        if not isinstance(tensors, list) or not all(isinstance(entry, dict) for entry in tensors):
            raise RuntimeFailedError(f"{self.label} answers tensors that are none: {_short(json.dumps(answer))}")
        for entry in tensors:
            found[str(entry.get("name"))] = self._from_tensor(entry)
        if not found:
            raise RuntimeFailedError(f"{self.label} answers without outputs: {_short(json.dumps(answer))}")
        return found

    def _empty(self, name: str, shape: np.ndarray) -> np.ndarray:
        """What is empty, of the shape that is told beside it."""
        try:
            if shape.ndim == 1 and shape.dtype.kind == "i" and 0 in shape and (shape >= 0).all():
                return np.empty(shape.tolist())
        except ValueError:  # more dimensions, or larger ones, than an array can have
            pass
        raise RuntimeFailedError(f"{self.label}: output {name!r} is empty and of shape {_short(str(shape))}")

    def _array(self, name: str, value: Any) -> np.ndarray:
        try:
            array = parse(value) if isinstance(value, str) else np.asarray(value)
        except ValueError as e:
            raise RuntimeFailedError(f"{self.label}: output {name!r} is no array: {e}: {_short(str(value))}") from None
        if array.dtype.kind not in "biuf":
            raise RuntimeFailedError(f"{self.label}: output {name!r} holds no numbers: {_short(str(value))}")
        return array

    def _from_output(self, output: Any) -> tuple[str, Optional[np.ndarray]]:
        """An output's name and array; None for texts, which are remarks beside the outputs."""
        try:
            name, kind = str(output["name"]), output["datatype"]
            if kind == "BYTES":
                return name, None
            shape = [int(size) for size in output["shape"]]
            return name, np.array(output["data"]).astype(FROM_OPEN_TYPES[kind]).reshape(shape)
        except (ValueError, TypeError, KeyError, OverflowError) as e:
            said = f"{type(e).__name__}: {e}: {_short(json.dumps(output))}"
            raise RuntimeFailedError(f"{self.label} answers an output that is no tensor: {said}") from None

    def _from_tensor(self, entry: Mapping[str, Any]) -> np.ndarray:
        number = entry.get("elem_type", entry.get("elemType", 0))  # a field that is 0 may be left out
        kind = _BY_NUMBER.get(number) if isinstance(number, int) else None
        field = FIELDS.get(kind) if kind is not None else None
        if kind is None or field is None:
            raise RuntimeFailedError(f"{self.label}: output {entry.get('name')!r} is of a type without a field")
        camel = re.sub(r"_(\w)", lambda m: m.group(1).upper(), field)
        values = entry.get(field) or entry.get(camel) or []
        try:
            shape = [int(n) for n in entry.get("shape") or []]
            # 64-bit numbers come as texts
            return np.array([float(v) if "float" in field else v for v in values]).astype(kind.numpy).reshape(shape)
        except (ValueError, TypeError, OverflowError) as e:
            raise RuntimeFailedError(f"{self.label}: output {entry.get('name')!r} is no tensor: {e}") from None


# names of classes and of texts in the answers of services that mconv writes, beside the outputs
_REMARKS = ("label", "truncated")


def _short(text: str) -> str:
    text = " ".join(text[:2000].split())  # of what may be many megabytes
    return text if len(text) <= 300 else text[:297] + "…"


# answers ------------------------------------------------------------------------------------------------------------


def parse(text: str) -> np.ndarray:
    """The array in an answer's text: JSON, or what numpy prints for an array; nothing is evaluated.

    Raises:
        ValueError: it is neither, or only the summary that numpy prints of a large array.
    """
    try:
        return np.array(json.loads(text))
    except ValueError:
        pass
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return np.array(_printed(text))


def _printed(text: str) -> Any:
    """``array([[0.1, 0.2]], dtype=float32)``, or ``[[0.1 0.2]]``."""
    text = text.strip()
    if text.startswith("array(") and text.endswith(")"):
        text = text[len("array(") : -1]
        text = text[: text.rfind("]") + 1] if "]" in text else text.partition(",")[0]
    rows: list[list[Any]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "[":
            rows.append([])
        elif token == "]":
            if len(rows) == 1:
                raise ValueError("a bracket too many")
            done = rows.pop()
            rows[-1].append(done)
        elif token == "...":
            raise ValueError("a summary of a large array, as numpy prints it; the service must send all of it")
        else:
            rows[-1].append(_number(token))
        if len(rows) > 64:
            raise ValueError("nested too deeply")
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError("neither JSON nor an array as numpy prints it")
    return rows[0][0]


def _number(token: str) -> Union[bool, int, float]:
    if token in _WORDS:
        return _WORDS[token]
    try:
        return int(token)
    except ValueError:
        pass
    try:
        return float(token)
    except ValueError:
        raise ValueError(f"{_short(token)!r} is no number") from None


def typed(answers: Answers, like: Answers) -> Answers:
    """An endpoint's answers in the types of the same outputs of another model, where they lose nothing by it.

    Args:
        like: the other model's answers to the same input sets, its outputs in the same order.
    """
    rows, kinds = [], []
    for row, names, other, labels in zip(answers.outputs, answers.dtypes, like.outputs, like.dtypes):
        values, types = list(row), list(names)
        for index, (have, want, label) in enumerate(zip(row, other, labels)):
            value = _as(have, want.dtype, label)
            if value is None:
                continue
            # JSON does not carry the shape of what is empty
            values[index] = value.reshape(want.shape) if value.size == want.size == 0 else value
            types[index] = label
        rows.append(values)
        kinds.append(types)
    return replace(answers, outputs=rows, dtypes=kinds)


def _as(have: np.ndarray, dtype: np.dtype, label: str) -> Optional[np.ndarray]:
    if label == "bfloat16" or dtype.kind not in "biuf":
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return have.astype(dtype)
    if have.dtype.kind == "f" and not (np.isfinite(have).all() and (have == np.round(have)).all()):
        return None
    return have.astype(dtype)
