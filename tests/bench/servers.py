"""A small server that answers in every form, in threads of this process; what it answers is the test's."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional

# path and body → status and answer; the number of the request, from 0
Answer = Callable[[str, bytes, int], tuple[int, bytes]]


class Server:
    """Attributes: *port*; *bodies* that came; *answer*, which may be replaced."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.bodies, self.types = answer, [], []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with owner._lock:
                    number = len(owner.bodies)
                    owner.bodies.append(body)
                    owner.types.append(self.headers["Content-Type"])
                self._reply(*owner.answer(self.path, body, number))

            def do_GET(self) -> None:
                self._reply(*owner.answer(self.path, b"", -1))

            def _reply(self, status: int, text: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                if status == 302:
                    self.send_header("Location", "/elsewhere/prediction")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[Server]:
    made = Server(answer)
    thread = threading.Thread(target=made._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made._server.shutdown()
        made._server.server_close()
        thread.join()


def every_form(path: str, body: bytes, number: int) -> tuple[int, bytes]:
    """Twice the sum of what is sent, in the form of the path."""
    if path.endswith("/prediction"):
        content = json.loads(body)
        total = 0.0
        if "tensors" in content:
            total = sum(sum(t.get("float_data", [])) for t in content["tensors"])
        for value in content.get("value", []):
            try:
                total += sum(x for row in json.loads(value) for x in row)
            except ValueError:
                total += len(value)
        return 200, json.dumps({"err_no": 0, "err_msg": "", "key": ["y"], "value": [str([2 * total])]}).encode()
    if path == "/v2/models/m":
        row = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
        return 200, json.dumps({"name": "m", "inputs": [row], "outputs": []}).encode()
    if path == "/v2/models/m/infer":
        (tensor,) = json.loads(body)["inputs"]
        assert tensor["datatype"] == "FP32" and tensor["shape"][1] == 4
        out = {"name": "y", "datatype": "FP32", "shape": [1], "data": [2 * sum(tensor["data"])]}
        return 200, json.dumps({"id": str(number), "model_name": "m", "outputs": [out]}).encode()
    if path == "/v1/models/m/metadata":
        shape = {"dim": [{"size": "-1"}, {"size": "4"}]}
        inputs = {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "serving_default_x:0"}}
        definition = {"signature_def": {"serving_default": {"inputs": inputs}}}
        return 200, json.dumps({"metadata": {"signature_def": definition}}).encode()
    if path == "/v1/models/m:predict":
        rows = json.loads(body)["inputs"]["x"]
        return 200, json.dumps({"outputs": [2 * sum(map(sum, rows))]}).encode()
    if path == "/predictions/m":
        return 200, json.dumps({"label": len(body)}).encode()
    return 404, b'{"error": "no such model"}'


def failing(every: int, status: int, text: bytes, first: int = 0, then: Answer = every_form) -> Answer:
    """Answers rightly, but from request *first* on each *every*-th otherwise."""

    def answer(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        if number >= first and number % every == 0:
            return status, text
        return then(path, body, number)

    return answer


def grpc_server(answer: Callable[[bytes], bytes]) -> tuple[Any, int]:
    """The RPC of Paddle Serving's pipeline; to be stopped with ``.stop(None)``."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from mconv.bench import rpc

    def handler(details: Any) -> Optional[Any]:
        if details.method != rpc.METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer(request))

    class Generic(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return handler(details)

    made = grpc.server(ThreadPoolExecutor(4), handlers=[Generic()])
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    return made, port
