"""Paddle Serving's pipeline as paddle-serving-server 0.9.0 has it, on the model and the texts of a generated service: what its
users can reach by configuration, without anything that mconv puts in place of its own parts.

The Op has the form of Paddle Serving's examples. Requests go through the pipeline's own channels and its gateway; it runs
one request at a time, as its own batching joins nothing but rows of one length. Set are, as measured best on the
benchmark's texts: oneDNN with room for each length, the ``fc`` passes that Paddle 2.3 leaves out (a wrapper around
``create_predictor``), one thread, a process per processor, 32 workers, and the log at errors alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

CONCURRENCY, WORKERS, SHAPES = 2, 32, 64
SERVICE = """\
import json
import logging

import yaml
from paddle_serving_server.web_service import Op, WebService

logging.getLogger().setLevel(logging.ERROR)
with open("config.yml", encoding="utf-8") as file:
    CONFIG = yaml.safe_load(file)
(NAME,) = CONFIG["op"]


class ServiceOp(Op):
    def _run(self, *args):  # in the process that loads the model: the fc passes, before create_predictor
        import predictor

        predictor.tune(CONFIG["op"][NAME]["local_service_conf"])
        super()._run(*args)

    def init_op(self):
        from text_input import Inputs

        self.inputs = Inputs()

    def preprocess(self, input_dicts, data_id=0, log_id=0):
        ((_, request),) = input_dicts.items()
        request = {key: value for key, value in request.items() if key != "pipeline.profile"}
        return [self.inputs.read(request)], False, None, ""

    def postprocess(self, input_data, fetch_data, data_id=0, log_id=0):
        (outputs,) = fetch_data
        return {name: json.dumps(array.tolist()) for name, array in outputs.items()}, None, ""


class Service(WebService):
    def get_pipeline_response(self, read_op):
        return ServiceOp(name=NAME, input_ops=[read_op])


if __name__ == "__main__":
    service = Service(name=NAME)
    service.prepare_pipeline_config("config.yml")
    service.run_service()
"""


def write(generated: Path, out: Path, http_port: int, rpc_port: int) -> None:
    """A folder with such a service: the model, the settings and the text module are those of a generated one."""
    out.mkdir()
    for name in ("text_input.py", "request_data.py", "tokenizer.json", "predictor.py"):
        shutil.copy2(generated / name, out / name)
    conf = yaml.safe_load((generated / "config.yml").read_text(encoding="utf-8"))
    (op,) = conf["op"].values()
    op.update(concurrency=CONCURRENCY, batch_size=1, auto_batching_timeout=-1)
    op["local_service_conf"]["model_config"] = str((generated / op["local_service_conf"]["model_config"]).resolve())
    op["local_service_conf"].update(use_mkldnn=True, onednn_fc=True, thread_num=1, mkldnn_cache_capacity=SHAPES)
    op["local_service_conf"].pop("mkl_all_processors", None)  # predictor.py's own
    stock = {
        "rpc_port": rpc_port,
        "http_port": http_port,
        "worker_num": WORKERS,
        "build_dag_each_worker": False,
        "dag": conf["dag"],
        "op": conf["op"],
    }
    (out / "config.yml").write_text(yaml.safe_dump(stock, sort_keys=False), encoding="utf-8")
    (out / "web_service.py").write_text(SERVICE, encoding="utf-8")


def address(folder: Path) -> tuple[int, str]:
    """The port of a written one, and the path that predictions are asked at."""
    conf = yaml.safe_load((folder / "config.yml").read_text(encoding="utf-8"))
    return conf["http_port"], f"/{next(iter(conf['op']))}/prediction"
