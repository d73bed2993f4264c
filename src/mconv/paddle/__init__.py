"""PIR programs (Paddle 3's ``.json``) → Program; needs no paddle."""

from __future__ import annotations

from mconv.paddle.load import Loaded, load, obstacles

__all__ = ["Loaded", "load", "obstacles"]
