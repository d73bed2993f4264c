"""Packed sequences in a trace: what ``pad_packed_sequence`` gives ends with the longest one.

PyTorch's TorchScript exporter passes a packed LSTM or GRU on as one over padded sequences with their lengths, whose
result is as long as its input (``push_packing_past_rnn`` in torch 2.13); torch's own ends with the longest sequence.
"""

from __future__ import annotations

from typing import Any

from mconv.torch.modes import mode


def packed_ends() -> Any:
    """A context manager within which a trace cuts padded sequences where torch does."""
    import torch

    pad = torch._C._VariableFunctions._pad_packed_sequence

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        made = func(*args, **kwargs)
        if func is not pad:
            return made
        _, steps, batch_first, _, total = args
        if int(total) != steps.shape[0]:  # total_length was given
            return made
        padded, lengths = made
        # ONNX's lengths are int32, torch's int64: said in between, so that the types of a slice agree
        longest = lengths.to(torch.int32).max().to(torch.int64)
        return (padded[:, :longest] if batch_first else padded[:longest]), lengths

    return mode(answer)


__all__ = ["packed_ends"]
