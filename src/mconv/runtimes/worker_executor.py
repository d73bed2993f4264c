"""A model in the Executor of Paddle's static graph, of every version from 1.8 to 3; see ``worker_frames.py`` for where this is
executed.
"""

import contextlib
import os
import shutil
import tempfile

from worker_feeds import check_names, core_of, lod_of


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
