"""Run by Paddle 1.8's own interpreter: saves a model of sequences laid end to end. Arguments: folder, levels of LoD."""

import sys

import paddle.fluid as fluid

folder, levels = sys.argv[1], int(sys.argv[2])
main, start = fluid.Program(), fluid.Program()
main.random_seed = start.random_seed = 7
with fluid.program_guard(main, start):
    if levels == 1:
        words = fluid.data("words", [-1, 1], "int64", lod_level=1)
        found = fluid.layers.sequence_conv(fluid.layers.embedding(words, [40, 8]), 6, filter_size=3)
    else:
        words = fluid.data("words", [-1, 8], "float32", lod_level=levels)
        found = fluid.layers.sequence_pool(words, "sum")
    result = fluid.layers.fc(fluid.layers.sequence_pool(found, "max"), 3)
executor = fluid.Executor(fluid.CPUPlace())
executor.run(start)
fluid.io.save_inference_model(folder, ["words"], [result], executor, main, "__model__", "__params__")
