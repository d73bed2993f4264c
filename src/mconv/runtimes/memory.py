"""Out of memory: how frameworks say it, and what to do about it."""

from __future__ import annotations

import re

from mconv.errors import MconvError

# C++'s own word, PyTorch's and ONNX Runtime's allocators, Paddle's, Python's and numpy's, the kernel's
_WORDS = re.compile(
    r"bad_?alloc|bad allocation|can't allocate memory|failed to allocate memory|ResourceExhausted|MemoryError|"
    r"Unable to allocate|Cannot allocate memory|not enough memory|out of memory|OOM",
    re.IGNORECASE,
)
HINT = "give it less with --input 'name[1,3,64,64]' or --inputs x.npz, free memory, or --no-verify"


def says_out_of_memory(text: str) -> bool:
    """Whether a message of a framework is that there is no more memory."""
    return bool(_WORDS.search(text))


def out_of_memory(error: MconvError) -> bool:
    """Whether an error is that a model has run out of memory."""
    return says_out_of_memory(error.message)
