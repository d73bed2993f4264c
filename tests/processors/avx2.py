"""Runs a command as on an x86-64 processor that has AVX2 and neither AVX-512 nor VNNI nor AMX.

``python tests/processors/avx2.py -- COMMAND …``. The libraries' own switches are set; where the processor is one of Intel's
and lets a process trap CPUID, ``build/avx2.so`` (avx2.c, beside this file) hides the instruction sets from those that have
none as well. On an AMD EPYC (Zen 4) OpenVINO's kernels have AVX-512 even so, and fault: a mask's register is the one that
the address is in.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "build" / "avx2.so"
SWITCHES = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",  # oneDNN before 2.1, as in Paddle 2.3
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}


def hides(said: str) -> bool:
    """Whether instruction sets can be hidden from all libraries on a processor of which /proc/cpuinfo says that."""
    return "cpuid_fault" in said and "GenuineIntel" in said


def environment() -> dict[str, str]:
    """What a process is to be started with."""
    changed = {**os.environ, **SWITCHES}
    if LIBRARY.exists() and hides(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")):
        del changed["NPY_DISABLE_CPU_FEATURES"]  # numpy warns of sets that the processor does not say it has
        changed["LD_PRELOAD"] = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), str(LIBRARY)]))
    return changed


if __name__ == "__main__":
    command = sys.argv[sys.argv.index("--") + 1 :]
    os.execvpe(command[0], command, environment())
