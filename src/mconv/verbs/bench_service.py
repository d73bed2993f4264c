"""``mconv bench http://…``: how much services bear, with what they are asked made up or read from files."""

from __future__ import annotations

import json
import time
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from mconv.bench import addresses, forms, payloads, service
from mconv.bench.addresses import Address
from mconv.bench.machine import machine
from mconv.bench.payloads import Payload
from mconv.bench.result import SERVICE, Bench
from mconv.bench.service import Plan
from mconv.errors import RuntimeFailedError, UsageError
from mconv.options.bench import BenchServices
from mconv.program.dtypes import DType
from mconv.proof.compare import Tolerance
from mconv.proof.exchange import exchange
from mconv.proof.feeds import InputSpec
from mconv.serving.servers.requests import FROM_OPEN_TYPES, OPEN_INFERENCE
from mconv.verbs.bench import opened, random_sets

_MAX_METADATA = 1 << 24  # bytes
_METADATA_TIMEOUT = 30  # seconds
_TENSORFLOW = {
    "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8",
    "DT_INT8": "int8", "DT_INT16": "int16", "DT_BOOL": "bool", "DT_HALF": "float16",
}  # fmt: skip


def bench_services(chosen: BenchServices) -> Bench:
    """Put load on services, one after the other, and hold each answer against the one to a single request.

    Raises:
        UsageError: an address is none or may not be asked, or it is not said what to ask.
        RuntimeFailedError: the only address answers no single request, or not the same twice.
        MissingDependencyError: a package for load is not installed.
    """
    plan = Plan(chosen.threads, chosen.loops, chosen.rounds, chosen.warmup, chosen.timeout)
    start = time.perf_counter()
    found = [
        addresses.address(url, chosen.request or ("template" if chosen.body else None), remote=chosen.remote)
        for url in chosen.urls
    ]
    template = None if chosen.body is None else Path(chosen.body)
    made = [forms.form_of(address, template) for address in found]
    asked = [_payloads(chosen, address, form) for address, form in zip(found, made)]
    messages = [forms.messages(form, rows) for form, rows in zip(made, asked)]
    limit = Tolerance.of(chosen.tolerance)
    served = service.measure(
        found, made, messages, plan, tolerance=limit, ignored=frozenset(chosen.ignored), progress=chosen.progress
    )
    sent = "; ".join(dict.fromkeys(payloads.described(rows) for rows in asked))
    rounds = len(plan.turns(len(found)))
    return Bench(
        SERVICE,
        plan.threads,
        plan.loops,
        rounds,
        plan.warmup,
        dict(vars(limit)),
        machine(),
        seconds=round(time.perf_counter() - start, 3),
        sent=sent,
        addresses=served,
    )


def _payloads(asked: BenchServices, address: Address, form: forms.Form) -> list[Payload]:
    send = asked.send
    if send is None:
        given = ((asked.texts, "texts"), (asked.images, "images"), (asked.inputs or asked.model, "tensors"))
        send = next((kind for value, kind in given if value), None)
    if isinstance(form, forms.Template) and send is None:
        wanted = form.names
        if not wanted:
            return []
        send = "texts" if "text" in wanted else "images" if "image" in wanted else None
    if send == payloads.TEXT:
        return payloads.texts(asked.texts)
    if send == payloads.IMAGE:
        return payloads.images(asked.images)
    if send not in (None, payloads.TENSOR):
        raise UsageError(f"--send {send}: unknown", f"one of {', '.join(payloads.KINDS)}")
    if asked.inputs is not None:
        return payloads.tensors(asked.inputs)
    specs = _model_specs(asked.model) if asked.model is not None else _told(address)
    if specs is None:
        raise UsageError(
            f"{address.label} does not say what it takes, and "
            + ("it is not said what to send" if send is None else "tensors cannot be made up without that"),
            "--inputs X.NPZ or --model MODEL"
            if send is not None
            else "--send texts, --texts FILE, --send images, --image FILE, --inputs X.NPZ or --model MODEL",
        )
    return [Payload(payloads.TENSOR, feed) for feed in random_sets(specs, asked.shapes)]


def _model_specs(model: str) -> list[InputSpec]:
    """The inputs of a model, under the names that clients use."""
    served = opened(model)
    return [replace(s, name=served.feed_alias.get(s.name, s.name)) for s in served.specs() or []]


# what servers say of their inputs -----------------------------------------------------------------------------------


def _told(address: Address) -> Optional[list[InputSpec]]:
    """The inputs that a server says a model has; None of servers that do not say.

    Raises:
        RuntimeFailedError: it cannot be asked, or says nothing that can be used.
    """
    parts = urllib.parse.urlsplit(address.url)
    if address.form == OPEN_INFERENCE:
        url = parts._replace(path=parts.path.rstrip("/")[: -len("/infer")], query="").geturl()
        rows = _json(url).get("inputs")
        read = _open_spec
    elif address.form == addresses.TENSORFLOW:
        url = parts._replace(path=parts.path.rstrip("/")[: -len(":predict")] + "/metadata", query="").geturl()
        found: Any = _json(url)
        for name in ("metadata", "signature_def", "signature_def", "serving_default", "inputs"):
            found = found.get(name) if isinstance(found, dict) else None
        rows = [{**v, "name": n} for n, v in found.items() if isinstance(v, dict)] if isinstance(found, dict) else None
        read = _tensorflow_spec
    else:
        return None
    try:
        specs = [read(row) for row in rows or []]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        raise RuntimeFailedError(f"{url} says nothing of inputs that can be used: {type(e).__name__}: {e}") from None
    if not specs:
        raise RuntimeFailedError(f"{url} says nothing of inputs", "give them with --inputs X.NPZ or --model MODEL")
    return specs


def _open_spec(row: dict[str, Any]) -> InputSpec:
    kind = DType.of(FROM_OPEN_TYPES[row["datatype"]])
    return InputSpec(str(row["name"]), kind, tuple(int(d) for d in row["shape"]))


def _tensorflow_spec(row: dict[str, Any]) -> InputSpec:
    dims = tuple(int(d["size"]) for d in row["tensor_shape"].get("dim", []))
    return InputSpec(str(row["name"]), DType.of(_TENSORFLOW[row["dtype"]]), dims)


def _json(url: str) -> dict[str, Any]:
    reply = exchange(url, url, timeout=_METADATA_TIMEOUT, most=_MAX_METADATA, hint="is it running?", direct=True)
    if reply.status != 200:
        raise RuntimeFailedError(f"{url} answers HTTP status {reply.status}", "give inputs with --inputs X.NPZ")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise RuntimeFailedError(f"{url} answers no JSON", "give inputs with --inputs X.NPZ") from None
    return answer if isinstance(answer, dict) else {}
