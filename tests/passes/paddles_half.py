"""What Paddle's own pass makes of the models of test_half.py: ``python paddles_half.py NAME PROGRAM PARAMS``.

Run by a Python with ``paddlepaddle-gpu`` 2.6.2, which needs no GPU for it (it is too large to be installed by a test);
what it prints is in tests/data/half/NAME.json: operator and type of its first result → how many.
"""

import collections
import json
import sys
import tempfile

MAIN = ("Out", "Output", "Y")


def kinds(ops):
    """Operator and type of its main result → how many; *ops* gives the operator's name, and parameter → type."""
    found = collections.Counter()
    for name, results in ops:
        for parameter in MAIN:
            if parameter in results:
                found[name + " " + results[parameter]] += 1
                break
    return dict(sorted(found.items()))


if __name__ == "__main__":
    import paddle
    from paddle.inference import PlaceType, PrecisionType, convert_to_mixed_precision

    name, program, params = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        made = folder + "/m.pdmodel"
        convert_to_mixed_precision(
            program, params, made, folder + "/m.pdiparams", PrecisionType.Half, PlaceType.GPU, True, set()
        )
        paddle.enable_static()
        with open(made, "rb") as file:
            block = paddle.static.deserialize_program(file.read()).global_block()
    types = {"FP16": "float16", "FP32": "float32", "float16": "float16", "float32": "float32"}

    def results(op):
        for parameter in op.output_names:
            for argument in op.output(parameter)[:1]:
                kind = str(block.var(argument).dtype).rpartition(".")[2] if block.has_var(argument) else ""
                if kind in types:
                    yield parameter, types[kind]

    print(
        json.dumps(
            kinds((op.type, dict(results(op))) for op in block.ops if op.type not in ("feed", "fetch")), indent=1
        )
    )
