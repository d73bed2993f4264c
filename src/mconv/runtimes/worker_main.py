"""The child side of a worker: runs models in whatever Paddle this interpreter has, asked over its stdin.

This file is executed by the runtime's own interpreter (Python 3.7 to 3.13, Paddle 1.8.5 to 3.x), which has no
mconv: nothing of mconv is imported here and the syntax stays that of Python 3.7.

A frame, in both directions: ``MCNV``, u32 length of a JSON header, the header, then the raw bytes of the arrays
that ``header["arrays"]`` lists as ``[dtype, shape]``, C order, little endian. bfloat16 travels as uint16 bits.
"""

import contextlib
import json
import os
import re
import shutil
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
        raise ValueError(f"not a worker frame: {start!r}")
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


class BadFeed(Exception):
    """The arrays given are not the ones that the model takes."""


class CannotCarry(Exception):
    """The Predictor has no way to pass a value of this type in or out."""


class OtherFormat(Exception):
    """A model in a format that this Paddle does not have."""


def core_of(paddle):
    """Paddle's inner module, which has changed its name."""
    return paddle.base.core if hasattr(paddle, "base") else paddle.fluid.core


def onednn_operators(paddle):
    """The operators that this Paddle has a kernel of oneDNN for: those that it is used for by default."""
    kernels = core_of(paddle)._get_all_register_op_kernels()
    return {name for name, kinds in kernels.items() if any("MKLDNN]" in kind for kind in kinds)}


def check_names(names, feed):
    missing = [n for n in names if n not in feed]
    unknown = [n for n in feed if n not in names]
    if missing or unknown:
        text = f"the model's inputs are {', '.join(names)}"
        text += f"; missing: {', '.join(missing)}" if missing else ""
        text += f"; not among them: {', '.join(unknown)}" if unknown else ""
        raise BadFeed(text)


def lod_of(rows, level):
    """Offsets of sequences that are laid end to end in *rows* rows, outermost level first: one more sequence than levels,
    as even as they go; each level above parts the sequences below into the first one and the rest."""
    parts = max(1, min(rows, level + 1))
    levels = [[rows * i // parts for i in range(parts + 1)]]
    while len(levels) < level:
        below = len(levels[0]) - 1
        levels.insert(0, [0, 1, below] if below > 1 else [0, below])
    return levels


class OnPredictor:
    """A model in Paddle Inference's Predictor, before 2.0 the AnalysisPredictor: what servers use."""

    engine = "predictor"

    def __init__(self, request):
        import paddle

        self.version = paddle.__version__
        program, params = request["program"], request["params"]
        self.folder = None
        if params is None and program.endswith(".json"):
            params = ""  # a program of Paddle 3 without parameters: None would be its folder
        files = [program, params] if params is not None else [self.model_folder(program)]
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
        self.lods = request.get("lods", {})

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
        if not request.get("log"):
            config.disable_glog_info()
        config.set_cpu_math_library_num_threads(request["threads"])
        config.switch_ir_optim(request["ir_optim"])
        # with a .json it ends the loading in 3.3.1: "Not find predictor_id 0 and pass_name memory_optimize_pass"
        if request["memory_optim"] and not request["program"].endswith(".json"):
            config.enable_memory_optim()
        elif "x: bool" in (type(config).enable_memory_optim.__doc__ or ""):
            config.enable_memory_optim(False)  # on by default from 3.0 on
        if request["onednn"]:
            config.enable_mkldnn()
            if request.get("onednn_except"):
                import paddle

                config.set_mkldnn_op(onednn_operators(paddle) - set(request["onednn_except"]))
            if request.get("precision"):
                ask = getattr(config, "enable_mkldnn_" + request["precision"], None)
                if ask is None:
                    raise OtherFormat(f"oneDNN has no {request['precision']} in this Paddle")
                ask()
        elif request["onednn"] is False and hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()  # before 2.6 it is off unless asked for
        for name in request["passes"]:
            config.pass_builder().append_pass(name)

    def handle(self, kind, name):
        predictor = self.predictor
        get = getattr(predictor, f"get_{kind}_handle", None) or getattr(predictor, f"get_{kind}_tensor")
        return get(name)

    def run(self, feed):
        """Run once on a mapping name → array; returns the output names, their arrays and Paddle's dtype names."""
        names = list(self.predictor.get_input_names())
        check_names(names, feed)
        for name in names:
            tensor, array = self.handle("input", name), feed[name]
            # without an overload for the type the binding converts silently: float64 becomes int32 in 2.3
            bind = getattr(tensor, "_copy_from_cpu_bind", None) or getattr(tensor, "copy_from_cpu_bind", None)
            bind = bind or tensor.copy_from_cpu
            if array.dtype.name not in re.findall(r"ndarray\[(?:numpy\.)?(\w+)\]", bind.__doc__ or ""):
                raise CannotCarry(f"input {name}: the Predictor of Paddle {self.version} takes no {array.dtype}")
            tensor.reshape(list(array.shape))
            tensor.copy_from_cpu(array)
            if self.lods.get(name):
                tensor.set_lod(lod_of(len(array), self.lods[name]))
        if hasattr(self.predictor, "zero_copy_run"):
            self.predictor.zero_copy_run()
        elif self.predictor.run() is False:
            raise RuntimeError("Predictor.run() reported failure without a message")
        outputs, dtypes = [], []
        names = list(self.predictor.get_output_names())
        for name in names:
            tensor = self.handle("output", name)
            try:
                array = tensor.copy_to_cpu()
            except Exception as e:
                if any(t in str(e) for t in ("Unsupported data type", "only supports", "trying to retrieve")):
                    raise CannotCarry(
                        f"output {name}: the Predictor of Paddle {self.version} cannot return its type"
                    ) from None
                raise
            outputs.append(array)
            dtypes.append(array.dtype.name)
        return names, outputs, dtypes


class OnExecutor:
    """A model in the static graph's Executor: no inference passes, but every type of tensor."""

    engine = "executor"

    def __init__(self, request):
        import paddle

        self.version = paddle.__version__
        self.lods = request.get("lods", {})
        if hasattr(paddle, "enable_static"):
            paddle.enable_static()
        program, params = request["program"], request["params"]
        self.folder = tempfile.TemporaryDirectory(prefix="mconv-worker-")
        self.core = core_of(paddle)
        self.new_ir = program.endswith(".json")
        with self.guard():
            if hasattr(paddle, "base"):
                self.executor = paddle.static.Executor(self.core.CPUPlace())
                if params is None and not self.new_ir:
                    params = self.combined(paddle, program)
                # the way by prefix: the other one is deprecated, and does not know .json
                prefix = os.path.join(self.folder.name, "model")
                os.symlink(program, prefix + (".json" if self.new_ir else ".pdmodel"))
                if params is not None:
                    os.symlink(params, prefix + ".pdiparams")
                loaded = paddle.static.load_inference_model(prefix, self.executor)
            else:
                from paddle import fluid

                self.executor = fluid.Executor(self.core.CPUPlace())
                folder, name = os.path.split(program)
                if params is not None and os.path.dirname(params) != folder:  # where they are looked for
                    for path in (program, params):
                        os.symlink(path, os.path.join(self.folder.name, os.path.basename(path)))
                    folder = self.folder.name
                loaded = fluid.io.load_inference_model(folder, self.executor, name, params)
        self.program, self.inputs, self.fetches = loaded
        # the outputs of a .json have no names of their own; these are what the Predictor calls them
        self.names = [f"fetch_name_{i}" if self.new_ir else v.name for i, v in enumerate(self.fetches)]

    def guard(self):
        """Before it loads a .pdmodel, Paddle 3 has to be told that its own format is not meant."""
        import paddle

        if hasattr(getattr(paddle, "pir_utils", None), "OldIrGuard") and not self.new_ir:
            return paddle.pir_utils.OldIrGuard()
        return contextlib.nullcontext()

    def combined(self, paddle, program):
        """The separate parameters beside the program as one file: the records in the order of their names."""
        with open(program, "rb") as file:
            desc = paddle.static.deserialize_program(file.read())
        kinds = (self.core.VarDesc.VarType.FEED_MINIBATCH, self.core.VarDesc.VarType.FETCH_LIST)
        names = {v.name for v in desc.list_vars() if v.persistable and v.type not in kinds}
        path = os.path.join(self.folder.name, "params")
        with open(path, "wb") as out:
            for name in sorted(names, key=lambda n: n.encode()):
                with open(os.path.join(os.path.dirname(program), name), "rb") as file:
                    shutil.copyfileobj(file, out)
        return path

    def without_elements(self, array, variable):
        """Before 3, the Executor forgets type and shape of an output without elements: both as declared, open is 0."""
        import numpy as np

        shape, dtype = list(variable.shape), str(variable.dtype).rpartition(".")[2].lower()
        names = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "bf16": "uint16"}
        dtype = names.get(dtype, dtype)
        if self.new_ir or array.ndim == len(shape) and array.dtype.name == dtype:
            return array
        if not any(d < 1 for d in shape):
            return array
        return np.zeros([max(d, 0) for d in shape], dtype)

    def tensors(self, feed):
        check_names(list(self.inputs), feed)
        tensors = {}
        for name, array in feed.items():
            tensors[name] = (getattr(self.core, "DenseTensor", None) or self.core.LoDTensor)()
            tensors[name].set(array, self.core.CPUPlace())
            if self.lods.get(name):
                tensors[name].set_lod(lod_of(len(array), self.lods[name]))
        return tensors

    def shapes(self, feed, most):
        """Run once; the shape of every tensor of the main block, and the numbers of the integer ones of up to *most*."""
        import paddle

        tensors = self.tensors(feed)
        scope = paddle.static.global_scope().new_scope()
        flag = "FLAGS_eager_delete_tensor_gb"
        before = self.core.globals()[flag]
        self.core.globals()[flag] = -1.0  # what is not needed any more stays, to be looked at
        shapes, numbers = {}, {}  # type: ignore[var-annotated]
        try:
            with self.guard():
                for op in self.program.global_block().ops:
                    if op.type == "feed":
                        self.core.set_feed_variable(scope, tensors[op.output("Out")[0]], "feed", op.attr("col"))
                # the Executor's own: it leaves the variables in the scope
                self.executor._default_executor.run(self.program.desc, scope, 0, False, True, [])
            for name in self.program.global_block().vars:
                variable = scope.find_var(name)
                if variable is not None:
                    self.look(name, variable, most, shapes, numbers)
        finally:
            self.core.globals()[flag] = before
            paddle.static.global_scope().drop_kids()
        return shapes, numbers

    def look(self, name, variable, most, shapes, numbers):
        import numpy as np

        try:
            tensor = variable.get_tensor()
            initialized = tensor._is_initialized()
        except Exception:  # noqa: BLE001 - no tensor: a list of them, the feeds, what a while loop remembers
            return
        shape = [int(n) for n in tensor.shape()]
        if not initialized and shape == [0]:  # of a branch that was not taken
            return
        shapes[name] = shape
        count = 1
        for size in shape:
            count *= size
        if initialized and 1 <= count <= most:
            array = np.asarray(tensor)
            if array.dtype.name in ("int32", "int64"):
                numbers[name] = [int(n) for n in array.reshape(-1)]

    def run(self, feed):
        import numpy as np

        tensors = self.tensors(feed)
        with self.guard():
            values = self.executor.run(self.program, feed=tensors, fetch_list=self.fetches, return_numpy=False)
        outputs, dtypes = [], []
        for value, variable in zip(values, self.fetches):
            array = np.asarray(value)
            if not array.size:
                array = self.without_elements(array, variable)
            label = array.dtype.name
            # in bfloat16, numpy sees the bits; Paddle 2.3 calls the type uint16, which it otherwise does not have
            dtypes.append("bfloat16" if label == "uint16" else label)
            outputs.append(array)
        return self.names, outputs, dtypes


def load(engine, request):
    import paddle

    # Paddle 2 takes it for a program of its own, and crashes
    if request["program"].endswith(".json") and paddle.__version__.split(".")[0] in ("1", "2"):
        raise OtherFormat(
            f"Paddle {paddle.__version__} does not know .json, the format of Paddle 3; `mconv downgrade` makes a .pdmodel"
        )
    return OnExecutor(request) if engine == "executor" else OnPredictor(request)


def all_shapes(loaded, sets, most):
    """What :meth:`OnExecutor.shapes` finds on each input set."""
    found = [loaded.shapes(feed, most) for feed in sets]
    return {"shapes": [shapes for shapes, _ in found], "numbers": [numbers for _, numbers in found]}


def answer(loaded, request, sets):
    """What a request asks of a loaded model: the header of the answer, and its arrays."""
    if request["command"] == "shapes":
        return all_shapes(loaded, sets, request["most"]), []
    names, outputs, dtypes, seconds = run_all(loaded, sets)
    return {"names": names, "dtypes": dtypes, "seconds": seconds}, outputs


def failure(error, stage):
    """The header of an answer that says what went wrong: with the inputs, or in Paddle."""
    kind = "input" if isinstance(error, (BadFeed, CannotCarry, OtherFormat)) else "paddle"
    text = str(error) if kind == "input" else "".join(traceback.format_exception_only(type(error), error))
    return {"ok": False, "stage": stage, "kind": kind, "error": text}


def run_all(loaded, sets):
    names, outputs, dtypes, seconds = [], [], [], []
    for feed in sets:
        started = time.time()
        names, values, labels = loaded.run(feed)
        seconds.append(time.time() - started)
        outputs.extend(values)
        dtypes.append(labels)
    return names, outputs, dtypes, seconds


def serve(requests, replies):
    import numpy as np

    cache = {}  # type: ignore[var-annotated]
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
            sets, at = [], 0
            for set_names in request["sets"]:
                sets.append(dict(zip(set_names, arrays[at : at + len(set_names)])))
                at += len(set_names)
            engine = request["engine"]
            loads = 0.0
            while True:
                stage = "load"
                chosen = (key, engine == "executor")
                if chosen not in cache:
                    started = time.time()
                    cache.clear()  # one model at a time: memory
                    cache[chosen] = load(engine, request["model"])
                    loads += time.time() - started
                loaded = cache[chosen]
                write_frame(replies, {"event": "loaded"})  # so that a crash can be told from one while loading
                stage = "run"
                try:
                    header, outputs = answer(loaded, request, sets)
                    break
                except CannotCarry:
                    if engine != "auto":
                        raise
                    engine = "executor"
            header.update(ok=True, version=loaded.version, load_seconds=loads, engine=loaded.engine)
            write_frame(replies, header, outputs)
        except Exception as e:  # noqa: BLE001 - everything Paddle can raise is an answer, the process goes on
            cache.clear()
            write_frame(replies, failure(e, stage))


def bound_memory():
    """Let an allocation fail that the machine has no memory for: the kernel would end some process, maybe another one.

    Counted is what the process may write (RLIMIT_DATA); what is free when it starts, of the machine or of its control
    group, is what it may have.
    """
    try:
        import resource

        with open("/proc/meminfo") as file:
            found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
        free = [int(found.group(1)) * 1024] if found else []
        for most, used in (
            ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        ):
            if os.path.exists(most) and os.path.exists(used):
                with open(most) as limit, open(used) as now:
                    text = limit.read().strip()
                    if text.isdigit():
                        free.append(int(text) - int(now.read()))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if free and min(free) > 1 << 30 and hard in (resource.RLIM_INFINITY, -1):
            resource.setrlimit(resource.RLIMIT_DATA, (min(free), hard))
    except (ImportError, OSError, ValueError):  # no Linux, or no right to: the kernel has the last word as before
        pass


def own_channel():
    """The protocol's two streams; what else is printed to stdout, and Paddle prints a lot, goes to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    # the script's folder is first on the path: its neighbours must not stand in for real packages
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    return requests, replies


if __name__ == "__main__":
    bound_memory()
    serve(*own_channel())
