"""The Hugging Face hub's protocol as far as its client's download asks for it, over a folder on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "1" * 40


@contextmanager
def hub(root: Path, refused: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Serve the repositories ``root/ORG/NAME``: (address, the paths that were asked for)."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            asked.append(f"{self.command} {path}")
            parts = path.split("/")
            if parts[:2] == ["api", "models"]:
                self.describe("/".join(parts[2:4]), parts[4:])
            elif len(parts) > 4 and parts[2] == "resolve":
                self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self.answer(404, b"{}")

        def describe(self, name: str, rest: list[str]) -> None:
            folder = root / name
            revision = rest[1] if len(rest) > 1 else "main"
            if name in refused:
                return self.answer(403, b"{}", **{"X-Error-Code": "GatedRepo"})
            if not folder.is_dir():
                return self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
            if revision not in ("main", SHA):
                return self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
            files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
            sizes = [(f, (folder / f).stat().st_size) for f in files]
            if rest[:1] == ["tree"]:
                entries = [{"type": "file", "path": f, "size": s, "oid": "2" * 40} for f, s in sizes]
                return self.answer(200, json.dumps(entries).encode())
            siblings = [{"rfilename": f, "size": s, "blobId": "2" * 40} for f, s in sizes]
            said = {
                "_id": name,
                "id": name,
                "sha": SHA,
                "siblings": siblings,
                "private": False,
                "tags": [],
                "downloads": 0,
            }
            return self.answer(200, json.dumps(said).encode())

        def file(self, name: str, revision: str, file: str) -> None:
            path = root / name / file
            if not path.is_file():
                return self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
            data = path.read_bytes()
            etag = hashlib.sha1(data).hexdigest()
            return self.answer(200, data, **{"ETag": f'"{etag}"', "X-Repo-Commit": SHA})

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
