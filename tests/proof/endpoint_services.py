"""Services as users write them, for the real pipeline: one that the article describes, and a plain Op."""

CONFIG = """\
rpc_port: {rpc}
http_port: {http}
worker_num: 2
build_dag_each_worker: false
dag:
  is_thread_op: false
op:
  {name}:
    concurrency: 1
    local_service_conf:
      client_type: local_predictor
      model_config: {model}
      device_type: 0
      devices: ""
      thread_num: 1
      ir_optim: true
      fetch_list: {fetch}
"""

START = """

class Service(WebService):
    def get_pipeline_response(self, read_op):
        return TheOp(name="{name}", input_ops=[read_op])


service = Service(name="{name}")
service.prepare_pipeline_config("config.yml")
service.run_service()
"""

# texts are turned into arrays, and the answer is JSON
ARTICLE = (
    """\
import json

import numpy as np
from paddle_serving_server.web_service import Op, WebService

TYPES = {types}


class TheOp(Op):
    def preprocess(self, input_dicts, data_id=0, log_id=0):
        ((_, request),) = input_dicts.items()
        missing = [name for name in TYPES if name not in request]
        if missing:
            return None, False, 400, "the request has no " + missing[0]
        feed = {{}}
        for name, dtype in TYPES.items():
            value = request[name]
            feed[name] = np.array(json.loads(value) if isinstance(value, str) else value, dtype)
        return feed, False, None, ""

    def postprocess(self, input_data, fetch_data, data_id=0, log_id=0):
        return {{name: json.dumps(value.tolist()) for name, value in fetch_data.items()}}, None, ""
"""
    + START
)

# takes tensors only, and answers with what numpy prints
BARE = (
    """\
from paddle_serving_server.web_service import Op, WebService


class TheOp(Op):
    pass
"""
    + START
)
