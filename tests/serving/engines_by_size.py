"""The predictors of several profiles in the real Paddle: ``python engines_by_size.py PREDICTOR.PY PROGRAM PARAMS OUT.json``.

Run by the interpreter of a managed runtime, on a CPU: TensorRT's ranges are set and read by nobody, the choice is the same.
"""

import importlib.util
import json
import sys

import numpy as np

template, program, params, out = sys.argv[1:]
spec = importlib.util.spec_from_file_location("predictor", template)
predictor = importlib.util.module_from_spec(spec)
spec.loader.exec_module(predictor)


def profile(most):
    return {
        "min_input_shape": {"x": [1, 4]},
        "max_input_shape": {"x": [most, 4]},
        "opt_input_shape": {"x": [most, 4]},
    }


predictor.tune({"device_type": 2, "use_mkldnn": False}, [profile(most) for most in (2, 8)])
from paddle import inference  # noqa: E402

config = inference.Config(program, params)
config.disable_gpu()
made = inference.create_predictor(config)
found = []
for rows in (1, 2, 3, 8, 20, 1):
    for name in made.get_input_names():
        handle = made.get_input_handle(name)
        handle.reshape([rows, 4])
        handle.copy_from_cpu(np.arange(rows * 4, dtype="float32").reshape(rows, 4))
    made.run()
    answer = made.get_output_handle(made.get_output_names()[0]).copy_to_cpu()
    found.append({"engine": made.predictors.index(made.chosen), "answer": answer.tolist()})
with open(out, "w") as file:
    json.dump(found, file)
