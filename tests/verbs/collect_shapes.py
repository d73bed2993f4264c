"""Paddle's own collector of shapes, on the CPU: ``python collect_shapes.py JOBS.JSON``.

Run by a managed runtime's interpreter (Python 3.8 on). A job is ``program``, ``params``, ``feeds`` (a ``.npz`` with arrays
``<set>/<input>``), ``lods`` (input → one list of offsets for each level, for each set) and ``out``, the file to write.
"""

import json
import sys

import numpy as np
from paddle import inference

with open(sys.argv[1]) as file:
    jobs = json.load(file)
for job in jobs:
    config = inference.Config(job["program"], job["params"])
    config.disable_gpu()
    config.collect_shape_range_info(job["out"])
    predictor = inference.create_predictor(config)
    arrays = np.load(job["feeds"])
    for group in sorted({key.split("/")[0] for key in arrays.files}, key=int):
        for name in predictor.get_input_names():
            array = arrays[group + "/" + name]
            handle = predictor.get_input_handle(name)
            handle.reshape(array.shape)
            handle.copy_from_cpu(array)
            if name in job["lods"]:
                handle.set_lod(job["lods"][name][int(group)])
        predictor.run()
    del predictor, handle  # which writes the file
