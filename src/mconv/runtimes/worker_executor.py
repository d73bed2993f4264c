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

    def shapes(self, sets, reads, most):
        """Run all *sets*, one after the other in the same scope, as a Predictor does.

        Of each set: tensor of the main block → [shape, how often it was seen with it] in order, and the same with the
        numbers of the integer ones of up to *most* elements. Seen is what an operator reads, before it runs, where
        *reads* says so, else what there is after the run.
        """
        import paddle

        scope = paddle.static.global_scope().new_scope()
        flag = "FLAGS_eager_delete_tensor_gb"
        before = self.core.globals()[flag]
        self.core.globals()[flag] = -1.0  # what is not needed any more stays, to be looked at
        found, filled = [], set()  # type: ignore[var-annotated]
        try:
            with self.guard():
                parts = self.parts(reads)
                for feed in sets:
                    found.append(self.seen(scope, self.tensors(feed), parts, reads, most, filled))
        finally:
            self.core.globals()[flag] = before
            paddle.static.global_scope().drop_kids()
        return found

    def parts(self, reads):
        """The program in parts, [description, {tensor: how many operators read it as it is after that part}]: a tensor
        that is written again after it was read is looked at in between."""
        ops = list(self.program.global_block().ops)
        pending, cuts = {}, []  # type: ignore[var-annotated]
        for at, op in enumerate(ops):
            if not reads or op.type in ("feed", "fetch"):
                continue
            for name in op.input_arg_names:
                pending[name] = pending.get(name, 0) + 1
            again = {name for name in op.output_arg_names if name in pending and self.counts(name)}
            if again:
                cuts.append((at, {name: pending.pop(name) for name in again}))
        cuts.append((len(ops), pending))
        found, start = [], 0
        for end, names in cuts:
            desc = self.core.ProgramDesc(self.program.desc)
            block = desc.block(0)
            if end < len(ops):
                block._remove_op(end, len(ops))
            if start:
                block._remove_op(0, start)
            found.append([desc, names])
            start = end
        return found

    def counts(self, name):
        """Whether to write a tensor again may change what is recorded of it: not if it is a parameter without numbers."""
        variable = self.program.global_block().vars.get(name)
        whole = (self.core.VarDesc.VarType.INT32, self.core.VarDesc.VarType.INT64)
        return variable is None or not variable.persistable or variable.dtype in whole

    def seen(self, scope, tensors, parts, reads, most, filled):
        """One run of the parts; see :meth:`shapes`. *filled* are the tensors that have had elements: others are without
        memory to Paddle's collector, which passes over them."""
        variables = self.program.global_block().vars
        for op in self.program.global_block().ops:
            if op.type == "feed":
                self.core.set_feed_variable(scope, tensors[op.output("Out")[0]], "feed", op.attr("col"))
        shapes, numbers = {}, {}  # type: ignore[var-annotated]

        def look(name, times):
            variable = scope.find_var(name)
            found = None if variable is None else self.look(variable, reads, most)
            if found is not None and 0 not in found[0]:
                filled.add(name)
            if found is not None and (name in filled or not reads):
                shapes.setdefault(name, []).append([found[0], times])
                if found[1] is not None:
                    numbers.setdefault(name, []).append([found[1], times])

        for desc, names in parts:
            # the Executor's own: it leaves the variables in the scope
            self.executor._default_executor.run(desc, scope, 0, False, True, [])
            for name in names if reads else variables:
                if name in variables:
                    look(name, names[name] if reads else 1)
        for name, variable in variables.items():
            if variable.type == self.core.VarDesc.VarType.LOD_TENSOR_ARRAY and scope.find_var(name) is not None:
                found = scope.find_var(name)
                listed = getattr(found, "get_dense_tensor_array", None) or found.get_lod_tensor_array
                count = len(listed()._move_to_list())  # empty for the next run
                for number in range(0 if reads else count):  # tensor_array_to_tensor leaves its parts in the scope
                    look(name + str(number), 1)
        return shapes, numbers

    def look(self, variable, reads, most):
        """A tensor's shape, and its numbers or None; None for what is none, or not there."""
        import numpy as np

        try:
            tensor = variable.get_tensor()
            initialized = tensor._is_initialized()
        except Exception:  # noqa: BLE001 - no tensor: a list of them, the feeds, what a while loop remembers
            return None
        shape = [int(n) for n in tensor.shape()]
        if not initialized and (reads or shape == [0]):  # of a branch that was not taken; before 2.5 others count
            return None
        count = 1
        for size in shape:
            count *= size
        if initialized and 1 <= count <= most:
            array = np.asarray(tensor)
            if array.dtype.name in ("int32", "int64"):
                return shape, [int(n) for n in array.reshape(-1).astype("int32")]  # which wraps, as in Paddle
        return shape, None

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
