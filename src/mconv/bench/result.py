"""What ``mconv bench`` found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.bench.latency import Measured
from mconv.bench.machine import Machine
from mconv.bench.service import Served
from mconv.page.shown import Shown

MODEL, SERVICE = "model", "service"


@dataclass(repr=False)
class Bench(Shown):
    """Figures of models or of services.

    Attributes:
        kind: `model` or `service`.
        threads: of each framework, or requests to a service at a time.
        loops: timed runs, or requests of each thread.
        rounds: in how many turns.
        warmup: runs, or requests of each thread, before any is timed.
        tolerance: how far a right answer may be off.
        machine: what it was measured on.
        notes: what is missing.
        seconds: how long all of it took.
        models: as given.
        input_sets: per input set, name → shape.
        reference: what gave the right answers to models: the ONNX file where there is one, else the first model without
            the optimisations of its Paddle.
        contenders: each model in each runtime.
        sent: what services were asked, in words.
        addresses: each service.
    """

    kind: str
    threads: int
    loops: int
    rounds: int
    warmup: int
    tolerance: dict[str, Any]
    machine: Machine
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    models: list[str] = field(default_factory=list)
    input_sets: list[dict[str, list[int]]] = field(default_factory=list)
    reference: Optional[str] = None
    contenders: list[Measured] = field(default_factory=list)
    sent: Optional[str] = None
    addresses: list[Served] = field(default_factory=list)
