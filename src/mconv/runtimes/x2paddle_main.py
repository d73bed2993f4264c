"""Runs X2Paddle on an ONNX file; executed by the interpreter of the runtime x2paddle-1.6.0, which has no mconv.

X2Paddle writes Python source from the names in the file and runs it, prints instead of raising, leaves with status 0
after some failures, and reports each conversion to a server. So it gets a copy of the model in which every name is of
our making, its network is cut off, and what became of the conversion is said in one JSON document on file descriptor 3.
"""

import itertools
import json
import os
import re
import socket
import sys

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Refused(Exception):
    """The model holds something that cannot be handed to X2Paddle safely."""


def no_network(*args, **kwargs):
    raise OSError("the network is switched off for X2Paddle")


def cut_network():
    """No connection and no name lookup from here on."""
    socket.socket.connect = no_network  # type: ignore[method-assign]
    socket.socket.connect_ex = no_network  # type: ignore[method-assign]
    socket.socket.sendto = no_network  # type: ignore[method-assign]
    socket.create_connection = no_network
    socket.getaddrinfo = no_network
    socket.gethostbyname = no_network


class Renamer:
    """Gives every name of a graph one of our own."""

    def __init__(self):
        self.tensors = {"": ""}
        self.sizes = {}
        self.count = itertools.count()

    def tensor(self, name):
        if name not in self.tensors:
            self.tensors[name] = f"t{next(self.count)}"
        return self.tensors[name]

    def size(self, name):
        return self.sizes.setdefault(name, f"d{len(self.sizes)}")

    def graph(self, graph):
        graph.name = "graph"
        graph.doc_string = ""
        for infos in (graph.input, graph.output, graph.value_info):
            for info in infos:
                info.name = self.tensor(info.name)
                info.doc_string = ""
                for dim in info.type.tensor_type.shape.dim:
                    if dim.HasField("dim_param"):
                        dim.dim_param = self.size(dim.dim_param)
                    dim.denotation = ""
        for tensor in graph.initializer:
            tensor.name = self.tensor(tensor.name)
            tensor.doc_string = ""
        for node in graph.node:
            self.node(node)

    def node(self, node):
        if not WORD.match(node.op_type):
            raise Refused(f"an operator called {node.op_type!r}")
        node.name = f"n{next(self.count)}"
        node.doc_string = ""
        node.input[:] = [self.tensor(n) for n in node.input]
        node.output[:] = [self.tensor(n) for n in node.output]
        for attribute in node.attribute:
            attribute.doc_string = ""
            texts = [attribute.s] + list(attribute.strings)
            if not WORD.match(attribute.name):
                raise Refused(f"an attribute called {attribute.name!r} of {node.op_type}")
            if any(t and not WORD.match(t.decode("utf-8", "replace")) for t in texts):
                raise Refused(f"the text in the attribute {attribute.name} of {node.op_type}")
            if attribute.HasField("t"):  # to write into it would make it present
                attribute.t.name = ""
            for sub in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                self.graph(sub)


def renamed(model):
    """Rename everything in place; returns the new names of the inputs and outputs, in order."""
    if model.functions:
        raise Refused("functions of the model's own")
    del model.metadata_props[:]
    model.producer_name = model.producer_version = model.domain = model.doc_string = ""
    constants = {t.name for t in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in constants]
    names = Renamer()
    outputs = [o.name for o in model.graph.output]
    names.graph(model.graph)
    return {n: names.tensors[n] for n in inputs}, [names.tensors[n] for n in outputs]


def convert(request):
    import onnx

    folder = request["folder"]
    model = onnx.load(request["model"])
    inputs, outputs = renamed(model)
    safe = os.path.join(folder, "renamed.onnx")
    onnx.save(model, safe)
    del model
    shapes = {inputs[name]: dims for name, dims in request["shapes"].items()}
    cut_network()
    from x2paddle.convert import onnx2paddle

    # X2Paddle evaluates the text of the shapes: it holds our names and whole numbers only
    onnx2paddle(safe, folder, input_shape_dict=repr(shapes) if shapes else None, disable_feedback=True)
    made = os.path.join(folder, "inference_model", "model.pdmodel")
    if not os.path.isfile(made):
        raise RuntimeError("X2Paddle ended without an error and without a model")
    return {"ok": True, "program": made, "inputs": inputs, "outputs": outputs}


def main():
    answer = os.fdopen(3, "w")
    request = json.loads(sys.stdin.read())
    # the script's folder is first on the path: its neighbours must not stand in for real packages
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    try:
        result = convert(request)
    except Refused as e:
        result = {"ok": False, "kind": "refused", "error": str(e)}
    except SystemExit:
        result = {"ok": False, "kind": "failed", "error": "X2Paddle gave up and left with status 0"}
    except Exception as e:  # noqa: BLE001 - X2Paddle raises whatever it comes across
        text = str(e).strip().splitlines()
        result = {"ok": False, "kind": "failed", "error": "{}: {}".format(type(e).__name__, text[0] if text else "")}
    answer.write(json.dumps(result))
    answer.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    # its statistics thread must not be waited for
    os._exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
