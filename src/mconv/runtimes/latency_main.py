"""The child side of a measurement: loads one model, runs it as often as it is told, and counts what that takes.

Executed by the interpreter of a runtime (Python 3.7 to 3.13), speaks the frames of ``worker_frames``. It answers two
commands:

- ``open``: the model is loaded in an ``engine``: ``predictor`` (Paddle Inference), ``onnxruntime`` or ``openvino``;
- ``time``: the model is run ``runs`` times on one input set; what the last run gave comes back where ``keep`` says so.
"""

import sys
import time
from typing import Any

from worker_feeds import check_names
from worker_frames import bound_memory, frames, own_channel, write_frame
from worker_main import failure, load
from worker_predictor import OnPredictor

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # else each import of OpenVINO is reported to Intel


class OnOnnxRuntime:
    """An ONNX file in ONNX Runtime's CPU provider, with all of its optimisations."""

    engine = "onnxruntime"

    def __init__(self, request):
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = request["threads"]
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(request["program"], options, providers=["CPUExecutionProvider"])
        self.names = [value.name for value in self.session.get_outputs()]

    def run(self, feed):
        check_names([value.name for value in self.session.get_inputs()], feed)
        values = self.session.run(None, feed)
        return self.names, values, [value.dtype.name for value in values]


class OnOpenVINO:
    """An ONNX file or a ``.pdmodel`` in OpenVINO's CPU plugin, in the model's own precision."""

    engine = "openvino"

    def __init__(self, request):
        import openvino

        self.version = openvino.__version__.partition("-")[0]
        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": request["threads"],
            "PERFORMANCE_HINT": "LATENCY",
            # it would take bfloat16 where the processor has it
            "INFERENCE_PRECISION_HINT": "f32",
        }
        model = core.read_model(request["program"])
        self.model = core.compile_model(model, "CPU", options)
        self.request = self.model.create_infer_request()
        self.inputs = [port.get_any_name() for port in self.model.inputs]
        self.names = [name_of(port, index) for index, port in enumerate(self.model.outputs)]

    def run(self, feed):
        import numpy as np

        check_names(self.inputs, feed)
        found = self.request.infer(feed, share_inputs=True, share_outputs=False)
        values = [np.asarray(found[port]) for port in self.model.outputs]
        return self.names, values, [value.dtype.name for value in values]


def name_of(port, position):
    return port.get_any_name() if port.get_names() else f"output {position}"


ENGINES = {"predictor": OnPredictor, "onnxruntime": OnOnnxRuntime, "openvino": OnOpenVINO}
PACKAGES = {"predictor": "paddle", "onnxruntime": "onnxruntime", "openvino": "openvino"}


def memory(field):
    """``VmRSS`` or ``VmHWM`` of this process in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Measurement:
    def __init__(self):
        self.loaded: Any = None

    def open(self, request):
        engine = request["engine"]
        started = time.perf_counter()
        __import__(PACKAGES[engine])
        imported = time.perf_counter()
        bare = memory("VmRSS")
        model = request["model"]
        self.loaded = load(engine, model) if engine == "predictor" else ENGINES[engine](model)
        return {
            "version": self.loaded.version,
            "engine": self.loaded.engine,
            "import_seconds": imported - started,
            "load_seconds": time.perf_counter() - imported,
            "bare_bytes": bare,
        }

    def time(self, feed, runs):
        """Seconds of each run, from the arrays at hand to the outputs as arrays."""
        seconds = []
        before = time.process_time()  # of all threads
        for _ in range(runs):
            started = time.perf_counter()
            names, values, dtypes = self.loaded.run(feed)
            seconds.append(time.perf_counter() - started)
        header = {"seconds": seconds, "cpu_seconds": time.process_time() - before, "peak_bytes": memory("VmHWM")}
        return dict(header, names=list(names), dtypes=list(dtypes)), list(values)


def serve(requests, replies):
    measurement = Measurement()
    for request, arrays in frames(requests):
        stage = "load"
        try:
            if request["command"] == "open":
                write_frame(replies, dict(measurement.open(request), ok=True))
                continue
            stage = "run"
            header, values = measurement.time(dict(zip(request["names"], arrays)), request["runs"])
            write_frame(replies, dict(header, ok=True), values if request["keep"] else ())
        except Exception as e:  # noqa: BLE001 - everything a framework can raise is an answer, the process goes on
            header = failure(e, stage)
            if header["kind"] != "input" and request.get("engine") not in (None, "predictor"):
                # OpenVINO's reason is its last line
                last = (str(e).split(chr(10) * 2)[0].strip().splitlines() or [""])[-1]
                header["error"] = f"{type(e).__name__}: {last}"
            write_frame(replies, header)


if __name__ == "__main__":
    bound_memory()
    serve(*own_channel())
