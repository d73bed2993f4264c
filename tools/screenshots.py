"""docs/images/*.png: the start page, a page of a command and the page of a comparison, its graph too, as a browser shows them.

    make docs && python tools/screenshots.py     needs a Chromium, on the path or playwright's own

At 1,440 and 390 pixels, the page of a comparison in light and dark. A page that is wider than the window is an error.
"""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
IMAGES = ROOT / "docs" / "images"
SIZES = {1440: 900, 390: 844}
# name → address, and whether dark, too
PAGES = {"start": ("index.html", False), "start-zh": ("zh/index.html", False), "command": ("commands/onnx2paddle/index.html", False),
         "report": ("images/report.html", True), "graph": ("images/report.html#first", False)}  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_COLOURS = 128  # of a picture, which makes it a third as large


def browser() -> str | None:
    """The program, or None where playwright has to have one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def launched(playwright: Any) -> Any:
    return playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])


def opened(chromium: Any, address: str, width: int, scheme: str) -> tuple[Any, list[str]]:
    """A page in a window of that width, and what was wrong while it loaded."""
    window = {"width": width, "height": SIZES.get(width, 900)}
    page = chromium.new_context(viewport=window, color_scheme=scheme).new_page()
    wrong: list[str] = []
    host = address.partition("//")[2].partition("/")[0]
    # the site's theme asks the code host for the number of stars, which is not there where there is no network

    def answered(response: Any) -> None:
        if host in response.url and response.status >= 400 and not response.url.endswith("sitemap.xml"):
            wrong.append(f"{response.url}: {response.status}")

    page.on("response", answered)
    page.on(
        "requestfailed", lambda request: wrong.append(f"{request.url}: not loaded") if host in request.url else None
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address, wait_until="load")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        wrong.append(f"{over} pixels wider than the window")
    return page, wrong


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None: ...


def main() -> None:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    if not (SITE / "index.html").is_file():
        sys.exit(f"{SITE}: is not built; make docs")
    handler = functools.partial(_Quiet, directory=str(SITE))
    told = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = launched(playwright)
        for name, (path, both) in PAGES.items():
            for width in SIZES:
                for scheme in ("light", "dark") if both else ("light",):
                    address = f"http://127.0.0.1:{server.server_address[1]}/{path}"
                    page, wrong = opened(chromium, address, width, scheme)
                    told += [f"{path} at {width}, {scheme}: {text}" for text in wrong]
                    page.wait_for_timeout(500)  # what the theme does after loading
                    picture = Image.open(io.BytesIO(page.screenshot(timeout=120_000)))
                    target = IMAGES / f"{name}-{width}{'-dark' if scheme == 'dark' else ''}.png"
                    picture.convert("RGB").quantize(_COLOURS).save(target, optimize=True)
                    page.context.close()
        chromium.close()
        server.shutdown()
    if told:
        sys.exit("\n".join(told))


if __name__ == "__main__":
    main()
