"""Whether a service is faster with oneDNN, which prepares its operators for each shape of the inputs anew.

Measured in Paddle 2.3.2, one thread, milliseconds of CPU per run:

=====================================  =======  =================  ==============================
model, sizes of the inputs             without  with oneDNN        with the ``fc`` passes as well
=====================================  =======  =================  ==============================
BERT of 6 layers, 128 tokens           57       40                 40
the same, 3 to 128 tokens              29       31                 60; 1.6 GB instead of 0.8
the same, filled up to 8 lengths       31       –                  27; 1.2 GB
PP-OCRv4 recogniser, 320 pixels        64       43                 –
the same, 100 to 500 pixels            65       85                 –
=====================================  =======  =================  ==============================

With the passes each shape keeps a copy of the weights of the fully connected layers.

Texts that are run together are another matter: there is more to compute for each shape. The same BERT on an Intel Xeon
(Sapphire Rapids, a loaded machine), milliseconds of CPU per text of 3 to 100 tokens, each shape a new one:

==========================  =======  ===========
texts that come together    without  with oneDNN
==========================  =======  ===========
1                           20.4     17.6
8                           17.8     14.1
16                          19.4     15.6
==========================  =======  ===========

So a service that joins texts uses it, without the ``fc`` passes; to have texts filled up to few lengths, the user asks.
The products are MKL's then, which by itself has fast kernels for Intel's processors alone; a service has it take them
elsewhere, too (``predictor.py``). BERT-base, 128 tokens, on an AMD EPYC with AVX-512, milliseconds of CPU:

===========================  =======  ===========  =====================
MKL's kernels                without  with oneDNN  with the ``fc`` passes
===========================  =======  ===========  =====================
its choice                   763      740          273
AVX2                         324      300          260
AVX-512                      283      263          260
===========================  =======  ===========  =====================
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.program.program import Program
from mconv.serving.rendering import render

# what copies of weights may take, and how many lengths of texts there may be
_MEMORY = 2 << 30
_MOST_LENGTHS = 10
_SHORTEST = 16
# of Paddle 2.3, which leaves them out; predictor.py of a service appends them
PASSES = ("fc_mkldnn_pass", "fc_act_mkldnn_fuse_pass")
# of which oneDNN in Paddle 2.3 is slow: it takes PP-OCRv4's detector at 640 × 640 from 132 to 392 ms; predictor.py knows it
EXCEPT = ("conv2d_transpose",)
# what MKL reads its kernels from, and what says which processor this is
_MKL = "MKL_DEBUG_CPU_TYPE"
_CPUINFO = Path("/proc/cpuinfo")
_PRODUCTS = {"mul": "Y", "matmul": "Y", "matmul_v2": "Y", "fc": "W"}


@dataclass(frozen=True)
class OneDNN:
    """How a service uses oneDNN.

    Attributes:
        on: whether it does.
        passes: whether fully connected layers become one operator each.
        shapes: for how many shapes of the inputs operators are kept.
        reason: why not, for the comment in ``config.yml``.
    """

    on: bool
    passes: bool
    shapes: int
    reason: str = ""


def settle(asked: Optional[bool], cpu: bool, shapes: Optional[int], weights: int, joined: bool = False) -> OneDNN:
    """Decide.

    Args:
        asked: what the user wants; None: whatever is faster.
        cpu: whether the service runs on a CPU.
        shapes: how many shapes the inputs have besides the number of rows; None: any number.
        weights: bytes of the fully connected layers, see :func:`product_bytes`.
        joined: whether requests are run together.
    """
    passes = shapes is not None and shapes * weights <= _MEMORY
    kept = max(shapes or 0, min(_MOST_LENGTHS, _MEMORY // weights) if passes and weights else 2 * _MOST_LENGTHS)
    if not cpu:
        return OneDNN(False, passes, kept, "off: device_type is no CPU")
    if asked is False:
        return OneDNN(False, passes, kept, "off: --no-onednn was asked for")
    if asked is None and shapes is None and not joined:
        reason = "off: the sizes of the inputs change, and oneDNN prepares its operators for each anew (--onednn)"
        return OneDNN(False, passes, kept, reason)
    return OneDNN(True, passes, kept)


def lengths(longest: int, weights: int) -> Optional[list[int]]:
    """The lengths to which rows are filled up so that there are few: up to half as long again, or twice as long.

    Returns:
        None where even few would take too much memory.
    """
    most = min(_MOST_LENGTHS, _MEMORY // weights if weights else _MOST_LENGTHS)
    powers = [longest]
    while powers[0] > _SHORTEST:
        powers.insert(0, max(_SHORTEST, math.ceil(powers[0] / 2)))
    between = [n for small, large in zip(powers, powers[1:]) if (n := (small + large) // 2) not in (small, large)]
    for found in (sorted(powers + between), powers):
        if len(found) <= most:
            return found
    return None


def product_bytes(program: Optional[Program]) -> int:
    """What the weights of matrix products take, in bytes of float32; 0 where there is no program."""
    if program is None:
        return 0
    names = {name for _, op in program.ops() if op.type in _PRODUCTS for name in op.input(_PRODUCTS[op.type])}
    found = [program.find_var(name) for name in sorted(names)]
    return sum(4 * math.prod(v.shape or ()) for v in found if v is not None and v.persistable)


def weight_bytes(program: Optional[Program]) -> int:
    """What all parameters take; 0 where there is no program."""
    if program is None:
        return 0
    return sum(math.prod(v.shape or ()) * v.dtype.itemsize for v in program.parameters if v.dtype is not None)


def mkl_variables() -> dict[str, str]:
    """The environment that a service with ``mkl_all_processors`` gives itself on this processor, by its own ``predictor.py``."""
    if _MKL in os.environ or not _CPUINFO.exists():
        return {}
    made: dict[str, Any] = {}
    exec(render("predictor.py"), made)
    kernels = made["mkl_kernels"](_CPUINFO.read_text("utf-8", errors="replace"))
    return {} if kernels is None else {_MKL: kernels}
