"""What services bear: load on each address in turn, and each answer held against the one that the request got alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from mconv.bench import load as loading
from mconv.bench.addresses import Address
from mconv.bench.answers import difference
from mconv.bench.figures import Figures, figures
from mconv.bench.forms import Form, Message, ServiceError
from mconv.bench.load import Failure, Outcome
from mconv.bench.usage import Usage, Watch
from mconv.errors import MconvError, RuntimeFailedError, VerificationError
from mconv.proof.compare import Tolerance

OK, WRONG, ERRORS, FAILED = "ok", "wrong", "errors", "failed"
_MOST_REASONS = 5
_UNFIT = "say what it takes: --model MODEL makes up its tensors; --inputs, --texts, --image and --body give them"


@dataclass(frozen=True)
class Plan:
    """How much load.

    Attributes:
        threads: requests under way at a time; loops: requests of each.
        rounds: in how many turns, where there are several addresses.
        warmup: loops of each before any is timed.
        timeout: seconds for one request.
    """

    threads: int = 20
    loops: int = 200
    rounds: int = 5
    warmup: int = 3
    timeout: float = 600

    def turns(self, addresses: int) -> list[int]:
        """How many loops each turn has."""
        rounds = min(self.rounds, self.loops) if addresses > 1 else 1
        return [self.loops // rounds + (index < self.loops % rounds) for index in range(rounds)]


@dataclass
class Served:
    """What one address bore.

    Attributes:
        label: what reports call it.
        address: as it was given.
        form: of the requests.
        status: ``ok``; ``wrong`` or ``errors`` where there was one; ``failed`` where even a single request was not answered.
        reason: why not ok.
        requests: how many were sent.
        right: how many got the answer that the same request got alone.
        wrong: how many got another answer.
        errors: how many got none.
        reasons: why → how often.
        seconds: of the load.
        tps: right answers a second.
        figures: of the requests that were answered.
        server: what it took; null where it is not on this machine or could not be found.
        client_cpu_ms: what sending a request and receiving its answer took here, in milliseconds on the processor.
    """

    label: str
    address: str
    form: str
    status: str = OK
    reason: str = ""
    requests: int = 0
    right: int = 0
    wrong: int = 0
    errors: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    tps: Optional[float] = None
    figures: Optional[Figures] = None
    server: Optional[Usage] = None
    client_cpu_ms: Optional[float] = None


class _Lane:
    """An address while it is measured."""

    def __init__(self, address: Address, form: Form, messages: Sequence[Message], ignored: Collection[str]):
        self.address, self.form, self.messages, self.ignored = address, form, list(messages), ignored
        self.served = Served(address.label, address.url, address.form)
        self.outcome = Outcome()
        self.wanted: list[Any] = []
        self.usage: Optional[Usage] = None

    def difference(self, wanted: Any, body: bytes, tolerance: Tolerance) -> str:
        """How an answer differs; empty where it does not.

        Raises:
            ServiceError: it says that something went wrong, or cannot be read.
        """
        try:
            return difference(wanted, self.form.read(body), tolerance, self.ignored)
        except RecursionError:  # less deep than JSON may be
            raise ServiceError("an answer that is nested too deeply") from None

    async def first(self, plan: Plan, tolerance: Tolerance) -> None:
        """What each request gets when it is alone, twice, and the warm-up.

        Raises:
            RuntimeFailedError: one gets no answer, or not the same one again.
        """
        name = self.address.label
        async with loading.sender(self.address, plan.threads, plan.timeout) as to:
            try:
                bodies = await loading.alone(to, self.messages)
                again = await loading.alone(to, self.messages)
                self.wanted = [self.form.read(body) for body in bodies]
                for number, (wanted, body) in enumerate(zip(self.wanted, again), 1):
                    other = self.difference(wanted, body, tolerance)
                    if other:
                        raise RuntimeFailedError(
                            f"{name} answers request {number} otherwise when it is sent again: {other}",
                            "--ignore NAME leaves a field out; answers that are drawn at random cannot be compared",
                        )
            except Failure as e:
                raise RuntimeFailedError(f"{name}: a single request: {e}", "is it running, at this path?") from None
            except ServiceError as e:
                hint = _UNFIT if e.number == 400 else None
                raise RuntimeFailedError(f"{name} answers a single request with {e}", hint) from None
            if plan.warmup:
                await loading.load(to, self.messages, plan.threads, plan.warmup)

    async def turn(self, plan: Plan, loops: int, progress: Callable[[Outcome], Any]) -> None:
        watch = Watch(self.address.port) if self.address.local else None
        async with loading.sender(self.address, plan.threads, plan.timeout) as to:
            with watch or contextlib.nullcontext():
                self.outcome.add(await loading.load(to, self.messages, plan.threads, loops, progress))
        used = watch.usage if watch is not None else None
        if used is not None:
            before = self.usage or Usage(0, 0.0, 0)
            self.usage = Usage(
                used.processes, before.cpu_seconds + used.cpu_seconds, max(before.peak_bytes, used.peak_bytes)
            )

    def result(self, tolerance: Tolerance) -> Served:
        made, outcome = self.served, self.outcome
        reasons: Counter[str] = Counter()
        errors = Counter(outcome.errors)
        for (which, body), count in outcome.answers.items():
            try:
                other = self.difference(self.wanted[which], body, tolerance)
            except ServiceError as e:
                errors[str(e)] += count
                continue
            if other:
                made.wrong += count
                reasons[f"wrong: {other}"] += count
        made.errors = sum(errors.values())
        made.requests = outcome.requests
        made.right = made.requests - made.wrong - made.errors
        reasons.update(errors)
        made.reasons = dict(reasons.most_common(_MOST_REASONS))
        made.status = WRONG if made.wrong else ERRORS if made.errors else OK
        made.reason = next(iter(made.reasons), "")
        made.seconds = outcome.elapsed
        made.tps = made.right / outcome.elapsed if outcome.elapsed else None
        made.figures = figures(outcome.seconds) if outcome.seconds else None
        made.client_cpu_ms = 1e3 * outcome.cpu_seconds / made.requests if made.requests else None
        made.server = self.usage
        return made


def measure(
    addresses: Sequence[Address],
    forms: Sequence[Form],
    messages: Sequence[Sequence[Message]],
    plan: Plan,
    *,
    tolerance: Tolerance = Tolerance(),
    ignored: Collection[str] = (),
    progress: Callable[[str], Any] = lambda text: None,
) -> list[Served]:
    """Put load on each address, in turns where there are several.

    Args:
        forms, messages: for each address, how it is asked and what.
        ignored: names of fields of the answers that are not compared.
        progress: is told what is being done.

    Raises:
        RuntimeFailedError: the only address answers no single request, or not the same twice.
        MissingDependencyError: a package for load is not installed.
    """
    lanes = [_Lane(a, f, m, ignored) for a, f, m in zip(addresses, forms, messages)]
    for lane in lanes:
        progress(f"{lane.address.label}: single requests and warm-up")
        try:
            asyncio.run(lane.first(plan, tolerance))
        except RuntimeFailedError as e:
            if len(lanes) == 1:
                raise
            lane.served.status, lane.served.reason = FAILED, e.message
    turns = plan.turns(len(lanes))
    for number, loops in enumerate(turns, 1):
        for lane in lanes:
            if lane.served.status == FAILED:
                continue
            total = loops * plan.threads
            head = f"{lane.address.label}: " + (f"turn {number} of {len(turns)}, " if len(turns) > 1 else "")
            progress(f"{head}{total} requests")

            def tell(outcome: Outcome, head: str = head, total: int = total) -> None:
                progress(f"{head}{outcome.requests} of {total} requests")

            asyncio.run(lane.turn(plan, loops, tell))
    return [lane.served if lane.served.status == FAILED else lane.result(tolerance) for lane in lanes]


def failure(served: Sequence[Served]) -> Optional[MconvError]:
    """The error of what was measured: answers that are wrong before those that are missing; None where all is right."""
    for one in sorted(served, key=lambda s: (WRONG, ERRORS, FAILED, OK).index(s.status)):
        if one.status == WRONG:
            return VerificationError(f"{one.label}: {one.wrong} of {one.requests} answers are {one.reason}")
        if one.status == ERRORS:
            return RuntimeFailedError(f"{one.label}: {one.errors} of {one.requests} requests failed: {one.reason}")
        if one.status == FAILED:
            return RuntimeFailedError(one.reason)
    return None
