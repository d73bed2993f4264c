"""Starts one server, tells when it is ready, and ends it whole: no process and no port of it is left.

Executed by mconv's own interpreter in a session of its own, with nothing but the standard library. The first line on
stdin is JSON:

- ``command``, ``folder``, ``environment``: what is started, where;
- ``log``: the file that its output goes to; ``keep_log``: whether that stays when the server was asked to end;
- ``ports``: [address, port] of each that it will listen on; ``health``: an address that answers 200 when it is ready;
- ``ready``, ``grace``: seconds that the start, and the end after SIGTERM, may take;
- ``scratch``: a folder that is removed in the end; ``state``: a file with what is known of the server, while it runs;
  ``about``: what else is to stand in it;
- ``detached``: whether it goes on when stdin ends. Otherwise the end of stdin, however mconv went, ends the server.

A line on stdout for each event: ``{"event": "ready", "seconds": …}``, ``{"event": "ended", "status": …, "asked": …}``.
SIGTERM and the line ``stop`` end the server, a second one at once.

Linux gives this process every process of the server's whose parent is gone (``PR_SET_CHILD_SUBREAPER``), and ends the
server's first process with this one (``PR_SET_PDEATHSIG``).
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tell(event, **more):
    with contextlib.suppress(OSError, ValueError):  # nobody listens any more
        sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
        sys.stdout.flush()


def children():
    """The living processes whose parent is this one."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] not in (b"Z", b"X"):
                    found.append(int(entry))
    return found


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def kill_all():
    """Kill what there is, and what comes to this process when its parent is killed, until there is nothing."""
    deadline = time.monotonic() + 30  # a process in the kernel's hands cannot be killed
    while time.monotonic() < deadline:
        found = children()
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.02)
    reap()


def started_at():
    """When this process was started, in the system's ticks: with its number, what tells it from all others."""
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


class Supervisor:
    def __init__(self, asked):
        self.asked = asked
        self.stopping = self.at_once = False
        self.service: Any = None
        self.waiting, self.waking = os.pipe()  # a signal or a line has come
        os.set_blocking(self.waking, False)

    def stop(self, *_):
        self.at_once = self.stopping
        self.stopping = True
        with contextlib.suppress(OSError):
            os.write(self.waking, b".")

    def follow(self):
        """In a thread: what mconv says, and that it is gone."""
        for line in sys.stdin:
            if line.strip() == "stop":
                self.stop()
        if not self.asked["detached"]:
            self.stop()

    def start(self):
        asked = self.asked

        def die_with_parent():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(asked["log"], "ab") as log:
            self.service = subprocess.Popen(
                asked["command"],
                cwd=asked["folder"],
                env=asked["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait(self, seconds):
        """Until something has come, or for so long."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.waiting, selectors.EVENT_READ)
            if selector.select(seconds):
                os.read(self.waiting, 100)

    def ready(self):
        if self.asked["health"]:
            try:
                with DIRECT.open(self.asked["health"], timeout=5) as reply:
                    return reply.status == 200
            except (urllib.error.URLError, OSError, ValueError):
                return False
        for host, port in self.asked["ports"]:
            with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
                probe.settimeout(2)
                if probe.connect_ex((host, port)) != 0:
                    return False
        return True

    def write_state(self):
        path, text = self.asked["state"], {"pid": os.getpid(), "started": started_at(), **self.asked["about"]}
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w") as file:
            json.dump(text, file)
        os.replace(f"{path}.{os.getpid()}", path)

    def run(self):
        """Until the server has ended; its status."""
        self.start()
        begun = time.monotonic()
        is_ready = False
        while self.service.poll() is None and not self.stopping:
            if not is_ready:
                if self.ready():
                    is_ready = True
                    tell("ready", seconds=time.monotonic() - begun)
                elif time.monotonic() - begun > self.asked["ready"]:
                    tell("late")
                    break
            self.wait(0.5 if is_ready else 0.1)
        if self.service.poll() is None:
            self.service.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + self.asked["grace"]
            while self.service.poll() is None and time.monotonic() < deadline and not self.at_once:
                self.wait(0.1)
        return self.service.poll()


def main():
    asked = json.loads(sys.stdin.readline())
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor = Supervisor(asked)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, supervisor.stop)
    threading.Thread(target=supervisor.follow, daemon=True).start()
    status, problem = None, ""
    try:
        supervisor.write_state()
        status = supervisor.run()
    except OSError as error:
        problem = f"{error.filename or asked['command'][0]}: {error.strerror}"
    finally:
        kill_all()
        with contextlib.suppress(OSError):
            os.unlink(asked["state"])
        if supervisor.stopping and not asked["keep_log"]:
            with contextlib.suppress(OSError):
                os.unlink(asked["log"])
        if asked["scratch"]:
            shutil.rmtree(asked["scratch"], ignore_errors=True)
        tell("ended", status=status, asked=supervisor.stopping, problem=problem)


if __name__ == "__main__":
    main()
