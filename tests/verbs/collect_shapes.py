"""Paddle's own collector of shapes, on the CPU: ``python collect_shapes.py PROGRAM PARAMS FEEDS.NPZ OUT.PBTXT``.

Run by a managed runtime's interpreter (Python 3.8 on). ``FEEDS.NPZ`` has arrays ``<set>/<input>``.
"""

import sys

import numpy as np
from paddle import inference

program, params, feeds, out = sys.argv[1:]
config = inference.Config(program, params)
config.disable_gpu()
config.collect_shape_range_info(out)
predictor = inference.create_predictor(config)
arrays = np.load(feeds)
for group in sorted({key.split("/")[0] for key in arrays.files}, key=int):
    for name in predictor.get_input_names():
        array = arrays[group + "/" + name]
        handle = predictor.get_input_handle(name)
        handle.reshape(array.shape)
        handle.copy_from_cpu(array)
    predictor.run()
del predictor  # which writes the file
