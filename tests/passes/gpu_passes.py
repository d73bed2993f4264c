"""Load programs in half precision in a ``paddlepaddle-gpu`` without a GPU: ``python gpu_passes.py OUT.json WITHOUT FOLDER…``.

``OUT.json`` is written anew with each step, so that it says what a process that died was doing: ``at``.

A predictor on the GPU asks for the device before anything else (``Device id must be less than GPU count``), so its steps
are made one by one: the program and its weights are loaded, types and shapes inferred, and the passes of a predictor on
the GPU applied to the graph in their order. Each operator that is left and is fed half precision has to have a kernel for
it in this build. Only Paddle is imported.
"""

import collections
import json
import sys

import paddle
from paddle import inference

try:
    from paddle.base import core
except ImportError:
    from paddle.fluid import core

HALF = {int(core.VarDesc.VarType.FP16): "::paddle::platform::float16", int(core.VarDesc.VarType.BF16): "bfloat16"}
# what a predictor tells passes; numbers cannot be told from Python
TOLD = {"use_gpu": True, "use_cutlass": False, "enable_int8": False}


KEPT = []  # what passes and scopes point to has to outlive them
SAID = {"models": {}}


def at(folder, step):
    """Write down what is done and what is begun."""
    SAID["at"] = [folder, step]
    with open(sys.argv[1], "w") as file:
        json.dump(SAID, file, indent=1)


def gpu_passes(without):
    """The passes of a predictor on the GPU, in their order."""
    config = inference.Config()
    config.enable_use_gpu(100, 0)
    for name in without:
        config.delete_pass(name)
    return config.pass_builder().all_passes()


def refused():
    """What a predictor on the GPU says here."""
    config = inference.Config()
    config.enable_use_gpu(100, 0)
    try:
        inference.create_predictor(config)
    except Exception as e:  # noqa: BLE001 - what it says is the result
        return str(e)
    return ""


def operators(graph):
    return collections.Counter(n.op().type() for n in graph.nodes() if n.is_op() and n.op())


def every_operator(desc):
    """Those of branches and loops, too, each with its block."""
    blocks = [desc.block(number) for number in range(desc.num_blocks())]
    return [(block, block.op(at)) for block in blocks for at in range(block.op_size())]


def infer(desc):
    """Infer types and shapes as when the program is built; returns the operators whose shapes cannot be inferred, which is
    so of some with open sizes that fit when they are run."""
    unknown = []
    for block, op in every_operator(desc):
        if op.type() not in ("feed", "fetch", "while", "conditional_block"):  # which infer nothing
            op.check_attrs()
            op.infer_var_type(block)
            try:
                op.infer_shape(block)
            except ValueError:
                unknown.append(op.type())
    return sorted(unknown)


def without_kernel(desc, kernels):
    """Operators with a half tensor among what they read, for which this build has no such kernel."""
    found = set()
    for block, op in every_operator(desc):
        if op.type() in ("feed", "fetch", "cast") or op.type() not in kernels:
            continue
        for name in op.input_arg_names():
            var = block.find_var_recursive(name.encode())
            if var is None or var.type() != core.VarDesc.VarType.LOD_TENSOR:
                continue
            kind = HALF.get(int(var.dtype()))
            if kind is not None and not any(kind in k and "gpu" in k.lower() for k in kernels[op.type()]):
                found.add(op.type())
    return sorted(found)


def load(folder):
    """What a predictor does on the CPU with all of it but the passes: read both files, make every operator."""
    config = inference.Config(folder + "/inference.pdmodel", folder + "/inference.pdiparams")
    config.disable_gpu()
    config.switch_ir_optim(False)
    return inference.create_predictor(config).get_input_names()


def graph_of(desc):
    """The graph that a predictor's passes are given: ``ir_graph_build_pass``, then ``ir_graph_clean_pass``, which takes away
    what only orders operators (two outputs are enough for one). Passes of 2.3.2 die of it."""
    graph = core.Graph(desc)
    core.graph_safe_remove_nodes(graph, {node for node in graph.nodes() if node.is_ctrl_var()})
    return graph


def look(folder, kernels, without):
    at(folder, "load")
    scope = core.Scope()
    with paddle.static.scope_guard(scope):
        executor = paddle.static.Executor(paddle.CPUPlace())
        program, _, _ = paddle.static.load_inference_model(folder + "/inference", executor)
    unknown = infer(program.desc)
    row = {"inputs": load(folder), "unknown shapes": unknown, "fused": {}, "needs a GPU": []}
    row["without"] = without_kernel(program.desc, kernels)
    graph = graph_of(program.desc)
    graph.set_not_owned("__param_scope__", scope)
    for name in gpu_passes(without):
        at(folder, name)
        one = core.get_pass(name)
        for key, value in TOLD.items():
            if not one.has(key):
                one.set(key, value)
        before = operators(graph)
        try:
            one.apply(graph)
        except Exception as e:
            if "gpu_device_id" not in str(e) and "model_precision" not in str(e):
                raise
            row["needs a GPU"].append(name)
            continue
        change = operators(graph)
        change.subtract(before)
        if any(change.values()):
            row["fused"][name] = {op: n for op, n in change.items() if n}
    at(folder, "graph_to_program_pass")
    fused = core.ProgramDesc()
    back = core.get_pass("graph_to_program_pass")
    back.set_not_owned("program", fused)
    back.apply(graph)
    KEPT.append((program, scope, graph, fused))
    row["after"] = operators(graph)
    row["without after"] = without_kernel(fused, kernels)
    return row


def main():
    _, without, *folders = sys.argv[1:]
    paddle.enable_static()
    kernels = core._get_all_register_op_kernels("all")
    without = [name for name in without.split(",") if name]
    SAID.update(paddle=paddle.__version__, cuda=paddle.is_compiled_with_cuda(), refused=refused())
    SAID["passes"] = gpu_passes(without)
    for folder in folders:
        SAID["models"][folder] = look(folder, kernels, without)
    at(None, "end")


if __name__ == "__main__":
    main()
