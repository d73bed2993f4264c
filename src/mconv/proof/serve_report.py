"""What ``mconv serve-check`` found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mconv.errors import VerificationError
from mconv.page.shown import Shown
from mconv.serving import servers


@dataclass(frozen=True)
class FormResult:
    """One form of request, over all input sets.

    Attributes:
        form: ``http key/value``, ``http tensors``, ``open inference``, ``rpc strings``, ``rpc tensors``, ``rpc bytes``,
            those that the server takes; of a generated service also its clients, ``http_client.py`` and
            ``rpc_client.py``, and ``bad requests``.
        ok: whether every output of every set equals direct inference.
        max_abs: largest absolute difference; None when there was no comparable answer.
        seconds: the time of each request; the first one also waits for the model to be loaded.
        reason: why it is not ok.
    """

    form: str
    ok: bool
    max_abs: Optional[float]
    seconds: list[float]
    reason: str = ""


@dataclass(frozen=True)
class OneDNNResult:
    """What oneDNN makes of a model, in direct inference on the requests' arrays, one thread.

    Attributes:
        on: whether the service uses it.
        seconds, seconds_without: for all input sets once, the fastest of several rounds.
        max_abs: largest difference of an output, in parts of the output's largest number; None where they cannot be
            compared.
        ok: whether the answers are the same for all practical purposes.
        advice: what is to be done; empty where nothing is.
    """

    on: bool
    seconds: float
    seconds_without: float
    max_abs: Optional[float]
    ok: bool
    advice: str


@dataclass(frozen=True, repr=False)
class ServeReport(Shown):
    """What ``mconv serve-check`` found.

    Attributes:
        ok: whether every form of request gave the answers of direct inference.
        folder: the ``serving_server/`` folder.
        runtime: the runtime that answered directly, and, with Paddle Serving, served.
        paddle: its version of Paddle.
        server: what served.
        isolated: whether nothing outside of this machine could reach the service: in a network of its own, or as it
            listened on the loopback alone. Not so of services that an earlier mconv has written, whose HTTP gateway
            takes no address, where no such network can be made.
        ready_seconds: from the start of the service until both ports were open.
        inputs: per input set, input → shape, as the model gets it.
        outputs: what the service calls the outputs.
        forms: the results.
        kept: where the service was written to, if asked for.
        service: the generated service that was tested; None: one made for the check, which takes tensors.
        kind: ``text``, ``image``, ``tensor`` or ``ocr``.
        onednn: whether oneDNN is slower, or answers something else; None where the model fails in the way that the
            service does not take.
    """

    ok: bool
    folder: Path
    runtime: str
    paddle: str
    isolated: bool
    ready_seconds: float
    inputs: list[dict[str, list[int]]]
    outputs: list[str]
    forms: list[FormResult]
    kept: Optional[Path] = None
    service: Optional[Path] = None
    kind: str = "tensor"
    onednn: Optional[OneDNNResult] = None
    server: str = servers.DEFAULT

    def require(self) -> None:
        """Raise unless every form agreed.

        Raises:
            VerificationError: names the first form that did not.
        """
        wrong = [f"{form.form}: {form.reason}" for form in self.forms if not form.ok]
        if self.onednn is not None and not self.onednn.ok:
            wrong.append(str(self.onednn.advice))
        if wrong:
            error = VerificationError(f"{self.folder}: {wrong[0]}")
            error.report = self
            raise error
