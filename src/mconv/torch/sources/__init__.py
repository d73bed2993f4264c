"""Every form that a PyTorch model comes in → a live module, without running code that a file brings.

    source = open_source("all-MiniLM-L6-v2/")
    source.module(**tensors)

``recognise`` says what a SOURCE is without importing torch; ``open_source`` makes the module.
"""

from __future__ import annotations

from mconv.torch.sources.forms import Form, recognise
from mconv.torch.sources.opening import open_source
from mconv.torch.sources.source import Source

__all__ = ["Form", "Source", "open_source", "recognise"]
