"""How to install what an extra brings, as this installation would."""

from __future__ import annotations

import json

# `mconv` on PyPI is somebody else's package
DISTRIBUTION = "paddle-mconv"


def install(extra: str) -> str:
    """The command that adds an extra of pyproject.toml: to the clone, where this is one (``pip install -e``)."""
    return f"pip install -e '.[{extra}]'" if _is_clone() else f"pip install '{DISTRIBUTION}[{extra}]'"


def _is_clone() -> bool:
    """Whether pip installed a folder that it reads the sources from (PEP 610, ``direct_url.json``)."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return True  # the sources themselves, on PYTHONPATH
    return bool(text) and bool(json.loads(text or "{}").get("dir_info", {}).get("editable"))
