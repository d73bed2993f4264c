"""The child side of a worker: runs models in whatever Paddle this interpreter has, asked over its stdin.

This file is executed by the runtime's own interpreter (Python 3.7 to 3.13, Paddle 1.8.5 to 3.x), which has no
mconv: nothing of mconv is imported here and the syntax stays that of Python 3.7.

A frame, in both directions: ``MCNV``, u32 length of a JSON header, the header, then the raw bytes of the arrays
that ``header["arrays"]`` lists as ``[dtype, shape]``, C order, little endian. bfloat16 travels as uint16 bits.
"""

import json
import os
import struct
import sys
import tempfile
import time
import traceback

MAGIC = b"MCNV"


def read_exactly(stream, size):
    """Read *size* bytes; None at a clean end of the stream."""
    parts, left = [], size
    while left:
        part = stream.read(left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_frame(stream, np):
    """The next header and its arrays, or None when the other side is gone."""
    start = read_exactly(stream, 8)
    if start is None:
        return None
    if start[:4] != MAGIC:
        raise ValueError("not a worker frame: %r" % start)
    header = json.loads(read_exactly(stream, struct.unpack("<I", start[4:])[0]).decode())
    arrays = []
    for dtype, shape in header.get("arrays", []):
        dtype = np.dtype(dtype)
        count = 1
        for dim in shape:
            count *= dim
        raw = read_exactly(stream, count * dtype.itemsize) if count else b""
        arrays.append(np.frombuffer(raw, dtype).reshape(shape).copy())
    return header, arrays


def write_frame(stream, header, arrays=()):
    header = dict(header, arrays=[[a.dtype.name, list(a.shape)] for a in arrays])
    text = json.dumps(header).encode()
    stream.write(MAGIC + struct.pack("<I", len(text)) + text)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


class Loaded(object):
    """A predictor and how to feed it; hides the difference between the two inference interfaces of Paddle."""

    def __init__(self, request):
        import paddle

        self.version = paddle.__version__
        program, params = request["program"], request["params"]
        self.folder = None
        files = (program, params)
        if params is None:
            files = (self.model_folder(program),)
        try:
            from paddle import inference
        except ImportError:
            inference = None
        if inference is not None and hasattr(inference, "create_predictor"):
            config = inference.Config(*files)
            create = inference.create_predictor
        else:  # before 2.0
            from paddle.fluid import core

            config = core.AnalysisConfig(*files)
            config.switch_use_feed_fetch_ops(False)
            config.switch_specify_input_names(True)
            create = core.create_paddle_predictor
        self.configure(config, request)
        self.config = config
        self.predictor = create(config)

    def model_folder(self, program):
        """Parameters in separate files can only be named by their folder, in which the program is __model__."""
        folder, name = os.path.split(os.path.abspath(program))
        if name == "__model__":
            return folder
        self.folder = tempfile.TemporaryDirectory(prefix="mconv-worker-")
        for entry in os.listdir(folder):
            if entry != "__model__":
                os.symlink(os.path.join(folder, entry), os.path.join(self.folder.name, entry))
        os.symlink(os.path.join(folder, name), os.path.join(self.folder.name, "__model__"))
        return self.folder.name

    @staticmethod
    def configure(config, request):
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(request["threads"])
        config.switch_ir_optim(request["ir_optim"])
        if request["memory_optim"]:
            config.enable_memory_optim()
        elif "x: bool" in (type(config).enable_memory_optim.__doc__ or ""):
            config.enable_memory_optim(False)  # on by default from 3.0 on
        if request["onednn"]:
            config.enable_mkldnn()
        elif request["onednn"] is False and hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()  # before 2.6 it is off unless asked for

    def handle(self, kind, name):
        predictor = self.predictor
        get = getattr(predictor, "get_%s_handle" % kind, None) or getattr(predictor, "get_%s_tensor" % kind)
        return get(name)

    def run(self, feed):
        """Run once on a mapping name → array; returns the output names, their arrays and Paddle's dtype names."""
        names = list(self.predictor.get_input_names())
        missing = [n for n in names if n not in feed]
        unknown = [n for n in feed if n not in names]
        if missing or unknown:
            raise KeyError("the model's inputs are %s; missing: %s, not among them: %s" % (names, missing, unknown))
        for name in names:
            tensor = self.handle("input", name)
            array = feed[name]
            tensor.reshape(list(array.shape))
            try:
                tensor.copy_from_cpu(array)
            except TypeError:  # older Paddle binds a few types only
                raise TypeError("input %s: Paddle %s takes no %s here" % (name, self.version, array.dtype.name))
        if hasattr(self.predictor, "zero_copy_run"):
            self.predictor.zero_copy_run()
        elif self.predictor.run() is False:
            raise RuntimeError("Predictor.run() reported failure without a message")
        outputs, dtypes = [], []
        names = list(self.predictor.get_output_names())
        for name in names:
            tensor = self.handle("output", name)
            array = tensor.copy_to_cpu()
            label = array.dtype.name
            if label == "uint16" and str(tensor.type()).endswith("BFLOAT16"):
                label = "bfloat16"
            outputs.append(array)
            dtypes.append(label)
        return names, outputs, dtypes


def serve(requests, replies):
    import numpy as np

    cache = {}
    while True:
        frame = read_frame(requests, np)
        if frame is None:
            return
        request, arrays = frame
        stage = "load"
        try:
            if request["command"] == "version":
                import paddle

                write_frame(replies, {"ok": True, "version": paddle.__version__, "python": sys.version.split()[0]})
                continue
            key = json.dumps(request["model"], sort_keys=True)
            started = time.time()
            if key not in cache:
                cache.clear()  # one model at a time: memory
                cache[key] = Loaded(request["model"])
            loaded = cache[key]
            load_seconds = time.time() - started
            stage = "run"
            write_frame(replies, {"event": "loaded"})  # so that a crash can be told from one while loading
            sets, at, seconds = [], 0, []
            outputs, dtypes, names = [], [], []
            for set_names in request["sets"]:
                sets.append(dict(zip(set_names, arrays[at : at + len(set_names)])))
                at += len(set_names)
            for feed in sets:
                started = time.time()
                names, values, labels = loaded.run(feed)
                seconds.append(time.time() - started)
                outputs.extend(values)
                dtypes.append(labels)
            header = {"ok": True, "version": loaded.version, "names": names, "dtypes": dtypes}
            header.update(load_seconds=load_seconds, seconds=seconds)
            write_frame(replies, header, outputs)
        except Exception as e:  # everything Paddle can raise is an answer, the process goes on
            cache.clear()
            text = "".join(traceback.format_exception_only(type(e), e))
            kind = "input" if isinstance(e, (KeyError, TypeError)) and stage == "run" else "paddle"
            write_frame(replies, {"ok": False, "stage": stage, "kind": kind, "error": text})


def main():
    # Paddle prints to stdout: keep the protocol's channel to ourselves and send the rest to stderr
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    # the script's folder is first on the path: its neighbours must not stand in for real packages
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    serve(requests, replies)


if __name__ == "__main__":
    main()
