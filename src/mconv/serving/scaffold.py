"""The Paddle Serving pipeline service around a converted model, as text: ``config.yml`` and ``web_service.py``.

The service takes and gives tensors. What it does differently from a bare ``Op`` was measured with
paddle-serving-server 0.9.0 (``docs/serving.md``): the default ``Op`` refuses key/value requests, which is what its
own HTTP gateway sends, and answers with numpy's ``repr``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mconv.errors import UnsupportedError
from mconv.serving.configure import ServingConfig, ServingVar

CONFIG, SERVICE = "config.yml", "web_service.py"


@dataclass(frozen=True)
class ServiceOptions:
    """What the service's ``config.yml`` says.

    Attributes:
        name: the service's name, a word; HTTP requests go to ``/<name>/prediction``.
        model: the ``serving_server/`` folder, as seen from where the service is started.
        rpc_port, http_port: where it listens.
        ir_optim: whether Paddle may optimise the graph.
        threads: threads of Paddle's mathematics library.
        concurrency: how many copies of the model run.
    """

    name: str = "model"
    model: str = "serving_server"
    rpc_port: int = 8088
    http_port: int = 18082
    ir_optim: bool = True
    threads: int = 2
    concurrency: int = 1


def service_files(config: ServingConfig, options: ServiceOptions) -> dict[str, str]:
    """The files of a service: name → text.

    Raises:
        UnsupportedError: an input's type has no number in mconv's table, or there is a LoD input.
    """
    return {CONFIG: config_yml(config, options), SERVICE: service_module(config, options)}


def config_yml(config: ServingConfig, options: ServiceOptions) -> str:
    """The pipeline's configuration; the fields are those of the official examples."""
    text = json.dumps  # YAML's double-quoted strings are JSON's

    return f"""\
# HTTP: POST http://HOST:{options.http_port}/{options.name}/prediction, RPC: HOST:{options.rpc_port}; both listen on every interface
rpc_port: {options.rpc_port}
http_port: {options.http_port}
# threads that take RPC requests
worker_num: 4
build_dag_each_worker: false
dag:
  # each Op runs in processes of its own, so that Paddle is started in the process that uses it
  is_thread_op: false
  retry: 1
  use_profile: false
op:
  {options.name}:
    concurrency: {options.concurrency}
    timeout: -1
    local_service_conf:
      # in the Op's own process, without another server
      client_type: local_predictor
      model_config: {text(options.model)}
      # 0 CPU, 1 GPU, 2 TensorRT; devices: "" CPU, "0" the first GPU
      device_type: 0
      devices: ""
      thread_num: {options.threads}
      ir_optim: {str(options.ir_optim).lower()}
      mem_optim: true
      precision: fp32
      fetch_list: {text([var.alias for var in config.fetches], ensure_ascii=False)}
"""


def service_module(config: ServingConfig, options: ServiceOptions) -> str:
    """The service: turns requests into arrays, and the model's arrays into JSON."""
    inputs = {var.alias: _dtype(var) for var in config.feeds}
    class_name = "".join(part.capitalize() for part in options.name.split("_")) + "Op"
    return _SERVICE.format(
        name=options.name,
        class_name=class_name,
        inputs=json.dumps(inputs, indent=4, ensure_ascii=False),
        config=CONFIG,
        script=SERVICE,
    )


def _dtype(var: ServingVar) -> str:
    if var.dtype is None:
        raise UnsupportedError(
            f"input {var.alias!r} has feed_type {var.type}, which is no type of Paddle Serving 0.9.0"
        )
    if var.lod:
        raise UnsupportedError(f"input {var.alias!r} is a LoD tensor", "the generated service takes dense tensors only")
    return var.dtype.label


_SERVICE = '''\
"""A Paddle Serving pipeline service, written by mconv.

Start: python {script} (in the folder of {config}). A request gives each input as text or as a tensor; see INPUTS.
"""

import ast
import json
import re

from paddle_serving_server.web_service import Op, WebService

# input -> type of its elements
INPUTS = {inputs}


def parse(text):
    """The nested lists in a request's text: JSON, or what numpy prints for an array."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    printed = re.match(r"array\\((.*?)(,\\s*shape=\\([^)]*\\))?(,\\s*dtype=\\w+)?\\)$", text.strip(), re.DOTALL)
    return ast.literal_eval(printed.group(1) if printed else text.strip())


class {class_name}(Op):
    def init_op(self):
        # Heavy imports (numpy, paddle, tokenizers) belong here: this runs in the process that serves
        import numpy

        self.numpy = numpy

    def preprocess(self, input_dicts, data_id=0, log_id=0):
        """Request -> the model's inputs."""
        ((_, request),) = input_dicts.items()
        feed = {{}}
        for name, dtype in INPUTS.items():
            if name not in request:
                return None, False, 400, "the request has no %s; inputs: %s" % (name, ", ".join(INPUTS))
            value = request[name]
            try:
                value = parse(value) if isinstance(value, str) else value
                feed[name] = self.numpy.ascontiguousarray(value, dtype=dtype)
            except (ValueError, SyntaxError, TypeError) as e:
                return None, False, 400, "%s is no array of %s: %s" % (name, dtype, e)
        return feed, False, None, ""

    def postprocess(self, input_data, fetch_data, data_id=0, log_id=0):
        """The model's outputs -> the reply: each output as JSON."""
        return {{name: json.dumps(value.tolist()) for name, value in fetch_data.items()}}, None, ""


class Service(WebService):
    def get_pipeline_response(self, read_op):
        return {class_name}(name="{name}", input_ops=[read_op])


if __name__ == "__main__":
    service = Service(name="{name}")
    service.prepare_pipeline_config("{config}")
    service.run_service()
'''
