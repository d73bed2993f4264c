"""Starts a generated service again and again, each time with one setting changed, and prints how it ended each time; run by the
Python of its runtime in a copy of the service's folder. Each start is a fork, so that heavy packages are imported once.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback

import yaml

SECONDS = 20  # one that is not refused would run for ever
# heavy packages of servers; not the service's own modules
HEAVY = (
    "uvicorn",
    "fastapi",
    "prometheus_client",
    "numpy",
    "grpc",
    "aiohttp",
    "pytriton",
    "paddle_serving_server.web_service",
)


def change(path, name, value):
    """Write a setting into the file of settings; of one that lies deeper, *name* has dots."""
    with open(path, encoding="utf-8") as file:
        content = yaml.safe_load(file)
    *outer, last = name.split(".")
    inside = content
    for key in outer:
        inside = inside[key]
    inside[last] = value
    with open(path, "w", encoding="utf-8") as file:
        (json if path.endswith(".json") else yaml).dump(content, file)


def start(script, path, kind, name, value):
    """In a fork: the service; never returns."""
    sys.path.insert(0, os.getcwd())
    sys.argv = [script]
    signal.alarm(SECONDS)
    if kind == "environment":
        os.environ["SERVICE_" + name] = value
    elif kind == "text":
        with open(path, "w", encoding="utf-8") as file:
            file.write(value)
    else:
        change(path, name, value)
    status = 70
    try:
        runpy.run_path(script, run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        if status == 70:
            traceback.print_exc()
        os._exit(status)


def main():
    script, path, cases = json.loads(sys.stdin.read())
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with open(path, encoding="utf-8") as file:
        usual = file.read()
    found = []
    for case in cases:
        with open(path, "w", encoding="utf-8") as file:
            file.write(usual)
        with tempfile.TemporaryFile() as said:
            pid = os.fork()
            if not pid:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                start(script, path, *case)
            _, status = os.waitpid(pid, 0)
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        found.append([os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status), text])
    print(json.dumps(found))


main()
