"""What oneDNN in the runtimes takes otherwise than other kernels do, where more than the emitters have to know it."""

from __future__ import annotations

# 2.3's lays a result out as it takes the first operand to lie
LAID_OUT_AS_FIRST = frozenset({"elementwise_add", "elementwise_sub", "elementwise_mul"})
