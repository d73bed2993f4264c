"""Why an operator cannot be said; collected by the exporter into one table."""

from __future__ import annotations


class Unsupported(Exception):
    """An operator that ONNX cannot say, or not with these attributes; the text is the reason."""


class NeedsOpset(Exception):
    """It can be said from a newer opset on.

    Attributes:
        opset: the lowest that can.
    """

    def __init__(self, opset: int, what: str):
        super().__init__(f"{what} is there from opset {opset} on")
        self.opset = opset
