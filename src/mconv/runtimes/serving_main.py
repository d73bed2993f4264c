"""Starts a service and asks it, all inside the runtime that has its server.

Executed by the runtime's interpreter (from Python 3.8 on), speaks the frames of ``worker_frames``. The first on stdin is answered
by whether there is a network of its own (``isolated``). Each further one says what to ``do`` and is answered by one:

- ``inputs``: what the ``module`` of the service in ``folder`` makes of a request;
- ``whole``: what the modules of a service of several models in ``folder`` answer to a request; before that, each run of a
  model is a frame with the stage to ``run`` and its inputs, which is answered by one with the outputs;
- ``start``: the interpreter is started with ``arguments`` and ``environment`` in ``folder``, and listens on ``ports``
  within ``ready_timeout``, or answers 200 at ``health`` where that is not null; ``request_timeout`` is for each of the
  following:
- ``ask``: a request to Paddle Serving's RPC at ``rpc_port`` in the ``form`` ``rpc strings``, ``rpc tensors``, ``rpc bytes``;
- ``post``: a body, which is an array of bytes, to ``url`` over HTTP;
- ``run``: a ``script`` of the service's folder with ``arguments``.

A request is a list of ``names`` and, for each, either a text in ``texts`` or the next array; so is an answer, with
whatever is no array in ``others``. What went wrong is in ``error``, and in ``ended`` that the service is gone.

Nothing can be reached from outside: where the kernel allows it, everything runs in a network namespace of its own,
which has nothing but a loopback interface. Elsewhere it is told to listen on 127.0.0.1. Services that an earlier mconv
has written, and others, have Paddle Serving's HTTP gateway, which takes no address and listens on every interface.
"""

import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from worker_frames import own_channel, read_frame, write_frame

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PR_SET_PDEATHSIG = 1

# types of elements that Paddle Serving's Tensor message has a field for (pipeline_service.proto)
TENSOR_TYPES = ("int64", "float32", "int32", "float64", "int16", "float16", "uint8", "int8", "bool")

# never through a proxy of the user's
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# what the service is started with where there is no namespace
BIND_LOOPBACK = """
import runpy, sys, grpc
make = grpc.server
def server(*args, **kwargs):
    made = make(*args, **kwargs)
    add = made.add_insecure_port
    made.add_insecure_port = lambda address: add(address.replace("[::]:", "127.0.0.1:"))
    return made
grpc.server = server
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def enter_namespace():
    """Move this process into a network of its own with the loopback up; raises OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) != 0:  # works for root; everybody else needs a user namespace around it
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(probe, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def isolate():
    """Enter a network namespace if that works; it is tried in a child first, as there is no way back."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        return False
    enter_namespace()
    return True


def start(request, isolated):
    """Start the service in a session of its own: it kills its whole process group when a model does not load."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def die_with_parent():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was asked for
            os._exit(1)

    loopback = ["-c", BIND_LOOPBACK] if request["everywhere"] and not isolated else []
    command = [sys.executable] + loopback + request["arguments"]
    with open(os.path.join(request["folder"], "service.log"), "wb") as log:
        return subprocess.Popen(
            command,
            cwd=request["folder"],
            env=dict(os.environ, **request["environment"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def stop(service):
    """End the service and everything that it started, and see it gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.pid, signal.SIGKILL)
    service.wait()
    deadline = time.time() + 3  # a process of gigabytes takes a moment to die; where nobody reaps, never mind
    while time.time() < deadline:
        try:
            os.killpg(service.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)


def wait_until_ready(service, ports, timeout, health=None):
    """Until *health* answers 200, where it is given, and every port listens."""
    deadline = time.time() + timeout
    waits = [] if health is None else [(healthy, health, "")]
    waits += [(listens, port, f" (port {port})") for port in ports]
    for ready, address, where in waits:
        while not ready(address):
            if service.poll() is not None:
                raise RuntimeError(f"the service ended with status {service.returncode} before it was ready")
            if time.time() > deadline:
                raise RuntimeError(f"the service was not ready after {timeout:g} s{where}")
            time.sleep(0.1)


def healthy(url):
    try:
        with DIRECT.open(url, timeout=5) as reply:
            return reply.status == 200
    except (OSError, ValueError):  # urllib's errors are OSErrors
        return False


def listens(port):
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def post(url, body, timeout):
    """Send a body as it is; the status and the text of the answer."""
    message = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with DIRECT.open(message, timeout=timeout) as reply:
            return reply.status, reply.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(errors="replace")


@contextlib.contextmanager
def modules_of(folder):
    """In a folder of a service's modules, which can be imported then: where its tokenizer and such are."""
    here = os.getcwd()
    os.chdir(folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        os.chdir(here)


class Rpc:
    def __init__(self, request):
        from paddle_serving_server.pipeline import PipelineClient  # type: ignore[import-not-found]

        self.client = PipelineClient()
        self.client.connect([f"127.0.0.1:{request['rpc_port']}"])

    def ask(self, form, feed):
        # without clientip, the client looks this machine's name up
        feed = dict(feed, clientip="127.0.0.1")
        if form == "rpc strings":
            reply = self.client.predict(feed_dict=feed)
        else:
            reply = self.client.predict(feed_dict=feed, pack_tensor_format=True, use_tensor_bytes=form == "rpc bytes")
        return check(reply.err_no, reply.err_msg, list(reply.key), list(reply.value))


def check(number, text, keys, values):
    if number != 0:
        raise RuntimeError(f"the service answered error {number}: {text[:300]}")
    return {key: json.loads(value) for key, value in zip(keys, values)}


class Driver:
    """Does what the frames say; each method answers one of them with a header and arrays."""

    def __init__(self, isolated, np, exchange):
        self.isolated, self.np, self.exchange = isolated, np, exchange
        self.request = {}
        self.service = self.inputs_of = self.stages = None
        self.rpc: Any = None

    def inputs(self, header, feed):
        with modules_of(header["folder"]):
            if self.inputs_of is None:
                self.inputs_of = importlib.import_module(header["module"]).Inputs()
            arrays = self.inputs_of.read(feed)
        return {"names": list(arrays)}, list(arrays.values())

    def whole(self, header, feed):
        """By a service's own steps around its models, which whoever asks for it runs: a frame for each run of one."""

        def run(name, feed):
            _, outputs = self.exchange({"run": name, "names": list(feed)}, list(feed.values()))
            return {str(index): array for index, array in enumerate(outputs)}

        with modules_of(header["folder"]):
            ocr = importlib.import_module("ocr_input")
            self.stages = self.stages or {name: ocr.stage(name) for name in ocr.STAGES}
            answer = ocr.read(self.stages, run, feed)
        return {"names": [], "others": {key: json.loads(value) for key, value in answer.items()}}, []

    def start(self, header, feed):
        started = time.time()
        self.request = header
        self.service = start(self.request, self.isolated)
        wait_until_ready(self.service, header["ports"], header["ready_timeout"], header["health"])
        return {"seconds": time.time() - started, "pid": self.service.pid}, []

    def ask(self, header, feed):
        form = header["form"]
        kinds = [v.dtype.name for v in feed.values() if not isinstance(v, str)]
        unsent = [kind for kind in kinds if kind not in TENSOR_TYPES]
        if unsent:
            raise RuntimeError(f"Paddle Serving's requests have no field for {', '.join(unsent)}")
        self.rpc = self.rpc or Rpc(self.request)
        return self.packed(self.rpc.ask(form, feed))

    def post(self, header, feed):
        status, text = post(header["url"], feed["body"].tobytes(), self.request["request_timeout"])
        return {"status": status, "text": text}, []

    def run(self, header, feed):
        """Run a client of the service's: what it answers is the last line it prints."""
        path = os.path.join(self.request["folder"], header["script"])
        done = subprocess.run(
            [sys.executable, path] + header["arguments"],
            cwd=self.request["folder"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=self.request["request_timeout"],
        )
        if done.returncode != 0:
            raise RuntimeError((done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"])[-1])
        values = json.loads(done.stdout.decode().strip().splitlines()[-1])
        return self.packed(values)

    def packed(self, values):
        """An answer as a frame: numbers as arrays, anything else as it is."""
        arrays = {}
        for name, value in values.items():
            try:
                array = self.np.asarray(value)
            except ValueError:  # lists of different lengths
                continue
            if array.dtype.kind in "biuf":
                arrays[name] = array
        others = {name: value for name, value in values.items() if name not in arrays}
        return {"names": list(arrays), "others": others}, list(arrays.values())

    def answer(self, header, arrays):
        arrays = iter(arrays)
        texts = header.get("texts", {})
        feed = {name: texts[name] if name in texts else next(arrays) for name in header.get("names", [])}
        started = time.time()
        try:
            reply, values = getattr(self, header["do"])(header, feed)
        except Exception as e:  # noqa: BLE001 - grpc, urllib and json raise classes without a common base
            lines = str(e).strip().splitlines()
            name = "" if isinstance(e, RuntimeError) else f"{type(e).__name__}: "
            reply, values = {"error": f"{name}{lines[0] if lines else type(e).__name__}"}, []
            if self.service is not None:
                reply["pid"] = self.service.pid
                if name:  # no answer of the service's: is it still there?
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        reply["ended"] = self.service.wait(1)
        reply.setdefault("seconds", time.time() - started)
        return reply, values


def main():
    requests, replies = own_channel()
    isolated = (
        "--no-namespace" not in sys.argv and isolate()
    )  # first: a process with threads cannot enter a user namespace
    import numpy as np

    read_frame(requests, np)
    frames = queue.Queue()  # type: ignore[var-annotated]

    def exchange(header, arrays):
        write_frame(replies, header, arrays)
        return frames.get()

    driver = Driver(isolated, np, exchange)
    write_frame(replies, {"isolated": isolated})

    def follow():
        """When mconv is gone, however it went, nothing may stay behind."""
        while True:
            frame = read_frame(requests, np)
            if frame is None:
                if driver.service is not None:
                    stop(driver.service)
                os._exit(1)
            frames.put(frame)

    threading.Thread(target=follow, daemon=True).start()
    while True:
        header, arrays = frames.get()
        write_frame(replies, *driver.answer(header, arrays))


if __name__ == "__main__":
    main()
