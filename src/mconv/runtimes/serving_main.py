"""Starts a Paddle Serving pipeline service and asks it, all inside the runtime that has Paddle Serving.

Executed by the runtime's interpreter (Python 3.8), speaks the frames of ``worker_main``. One request on stdin:
``folder`` and ``script`` (of the service), ``name``, ``rpc_port``, ``http_port``, ``ready_timeout``, ``request_timeout``, ``sets`` (the input names of each set) and the arrays. Events on stdout: ``network``,
``started``, ``ready``, an ``answer`` for each form and input set, ``done``; or ``failed``.

Nothing can be reached from outside: where the kernel allows it, everything runs in a network namespace of its own,
which has nothing but a loopback interface. Elsewhere RPC is bound to 127.0.0.1, and the HTTP gateway, a Go library
that takes a port and no address, listens on every interface; the ``network`` event says so.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from worker_main import own_channel, read_frame, write_frame  # type: ignore[import-not-found]

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PR_SET_PDEATHSIG = 1
FORMS = ("http key/value", "http tensors", "rpc strings", "rpc tensors", "rpc bytes")

# type of the elements -> number and field of Paddle Serving's Tensor message (pipeline_service.proto)
TENSOR_FIELDS = {
    "int64": (0, "int64_data"),
    "float32": (1, "float_data"),
    "int32": (2, "int_data"),
    "float64": (3, "float64_data"),
    "int16": (4, "int_data"),
    "float16": (5, "float_data"),
    "uint8": (7, "uint32_data"),
    "int8": (8, "int_data"),
    "bool": (9, "bool_data"),
}

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

    def die_with_parent():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    script = [os.path.join(request["folder"], request["script"])]
    command = [sys.executable] + (script if isolated else ["-c", BIND_LOOPBACK] + script)
    with open(os.path.join(request["folder"], "service.log"), "wb") as log:
        return subprocess.Popen(
            command,
            cwd=request["folder"],
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


def wait_until_ready(service, ports, timeout):
    deadline = time.time() + timeout
    for port in ports:
        while True:
            with contextlib.closing(socket.socket()) as probe:
                probe.settimeout(2)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if service.poll() is not None:
                raise RuntimeError(f"the service ended with status {service.returncode} before it was ready")
            if time.time() > deadline:
                raise RuntimeError(f"the service was not ready after {timeout:g} s (port {port})")
            time.sleep(0.1)


class Http:
    def __init__(self, request):
        self.url = f"http://127.0.0.1:{request['http_port']}/{request['name']}/prediction"
        self.timeout = request["request_timeout"]
        # never through a proxy of the user's
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, form, feed):
        if form == "http key/value":
            body = {"key": list(feed), "value": [json.dumps(a.tolist()) for a in feed.values()]}
        else:
            body = {"tensors": [self.tensor(name, array) for name, array in feed.items()]}
        headers = {"Content-Type": "application/json"}
        message = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with self.opener.open(message, timeout=self.timeout) as reply:
                answer = json.loads(reply.read().decode())
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"HTTP status {e.code}: {e.read().decode(errors='replace')[:300]}") from None
        return check(answer.get("err_no", 0), answer.get("err_msg", ""), answer.get("key", []), answer.get("value", []))

    @staticmethod
    def tensor(name, array):
        number, field = TENSOR_FIELDS[array.dtype.name]
        return {"name": name, "elem_type": number, "shape": list(array.shape), field: array.ravel().tolist()}


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


def answers(request, sets, replies, np):
    """Ask for every input set in every form; an error of one is an answer too."""
    http, rpc = Http(request), Rpc(request)
    for form in FORMS:
        for index, feed in enumerate(sets):
            header = {"event": "answer", "form": form, "set": index}
            unsent = [a.dtype.name for a in feed.values() if a.dtype.name not in TENSOR_FIELDS]
            started = time.time()
            values = {}
            try:
                if unsent:
                    raise RuntimeError(f"Paddle Serving's requests have no field for {', '.join(unsent)}")
                values = (http if form.startswith("http") else rpc).ask(form, feed)
            except Exception as e:  # noqa: BLE001 - grpc, urllib and json raise classes without a common base
                lines = str(e).strip().splitlines()
                header["error"] = f"{type(e).__name__}: {lines[0] if lines else ''}"
            header["seconds"] = time.time() - started
            header["names"] = list(values)
            write_frame(replies, header, [np.asarray(value) for value in values.values()])


def main():
    requests, replies = own_channel()
    isolated = (
        "--no-namespace" not in sys.argv and isolate()
    )  # first: a process with threads cannot enter a user namespace
    import numpy as np

    request, arrays = read_frame(requests, np)
    sets, at = [], 0
    for names in request["sets"]:
        sets.append(dict(zip(names, arrays[at : at + len(names)])))
        at += len(names)
    write_frame(replies, {"event": "network", "isolated": isolated})
    started = time.time()
    service = start(request, isolated)
    write_frame(replies, {"event": "started", "pid": service.pid})

    def follow():
        """When mconv is gone, however it went, nothing may stay behind."""
        requests.read()
        stop(service)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    try:
        wait_until_ready(service, (request["rpc_port"], request["http_port"]), request["ready_timeout"])
        write_frame(replies, {"event": "ready", "seconds": time.time() - started})
        answers(request, sets, replies, np)
        write_frame(replies, {"event": "done"})
    except RuntimeError as e:
        write_frame(replies, {"event": "failed", "error": str(e)})
    finally:
        stop(service)


if __name__ == "__main__":
    main()
