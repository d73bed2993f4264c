"""Runs models of two files in the installed Paddle 3 as PaddleX does, through PIR: ``under_pir.py IN.npz OUT.npz FOLDER…``.

IN has ``FOLDER/INPUT``; OUT gets ``FOLDER/ONEDNN/POSITION``.
"""

import sys
from typing import Any

import numpy as np
from paddle.inference import Config, create_predictor


def answers(folder: str, feeds: dict[str, Any], onednn: bool) -> list[Any]:
    config = Config(f"{folder}/inference.pdmodel", f"{folder}/inference.pdiparams")
    config.disable_glog_info()
    config.enable_new_ir(True)
    config.enable_new_executor()
    if onednn:
        config.enable_mkldnn()
    else:
        config.disable_mkldnn()
    predictor = create_predictor(config)
    for name in predictor.get_input_names():
        predictor.get_input_handle(name).copy_from_cpu(feeds[name])
    predictor.run()
    return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]


if __name__ == "__main__":
    given = np.load(sys.argv[1])
    found = {}
    for folder in sys.argv[3:]:
        feeds = {key.rpartition("/")[2]: given[key] for key in given.files if key.startswith(f"{folder}/")}
        for onednn in (False, True):
            for index, array in enumerate(answers(folder, feeds, onednn)):
                found[f"{folder}/{int(onednn)}/{index}"] = array
    np.savez(sys.argv[2], **found)
