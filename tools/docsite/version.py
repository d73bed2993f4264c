"""A hook of mkdocs: the foot of every page says which version it describes, which stands in src/mconv/version.py; what the
docstrings name in roles is code on the page of the API."""

from __future__ import annotations

import re
from typing import Any

from mconv.version import __version__


def on_config(config: Any) -> Any:
    config["copyright"] = f"mconv {__version__} · Apache-2.0"
    return config


def on_page_content(html: str, page: Any, **more: Any) -> str:
    if not page.file.src_uri.startswith("api."):
        return html
    return re.sub(r":(?:func|class|mod|meth|data|attr):(<code>)~?", r"\1", html)
