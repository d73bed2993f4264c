"""The child side of a worker: runs models in whatever Paddle this interpreter has, asked over its stdin; see
``worker_frames.py`` for where this is executed.
"""

import json
import sys
import time
import traceback

from worker_executor import OnExecutor
from worker_feeds import BadFeed, CannotCarry, OtherFormat
from worker_frames import bound_memory, frames, own_channel, write_frame
from worker_predictor import OnPredictor


def load(engine, request):
    import paddle

    # Paddle 2 takes it for a program of its own, and crashes
    if request["program"].endswith(".json") and paddle.__version__.split(".")[0] in ("1", "2"):
        raise OtherFormat(
            f"Paddle {paddle.__version__} does not know .json, the format of Paddle 3; `mconv downgrade` makes a .pdmodel"
        )
    return OnExecutor(request) if engine == "executor" else OnPredictor(request)


def all_shapes(loaded, sets, reads, most):
    """What :meth:`OnExecutor.shapes` finds on each input set."""
    found = loaded.shapes(sets, reads, most)
    return {"shapes": [shapes for shapes, _ in found], "numbers": [numbers for _, numbers in found]}


def answer(loaded, request, sets):
    """What a request asks of a loaded model: the header of the answer, and its arrays."""
    if request["command"] == "shapes":
        return all_shapes(loaded, sets, request["reads"], request["most"]), []
    names, outputs, dtypes, seconds = run_all(loaded, sets)
    return {"names": names, "dtypes": dtypes, "seconds": seconds}, outputs


def failure(error, stage):
    """The header of an answer that says what went wrong: with the inputs, or in Paddle."""
    kind = "input" if isinstance(error, (BadFeed, CannotCarry, OtherFormat)) else "paddle"
    text = str(error) if kind == "input" else "".join(traceback.format_exception_only(type(error), error))
    return {"ok": False, "stage": stage, "kind": kind, "error": text}


def run_all(loaded, sets):
    names, outputs, dtypes, seconds = [], [], [], []
    for feed in sets:
        started = time.time()
        names, values, labels = loaded.run(feed)
        seconds.append(time.time() - started)
        outputs.extend(values)
        dtypes.append(labels)
    return names, outputs, dtypes, seconds


def serve(requests, replies):
    cache = {}  # type: ignore[var-annotated]
    for request, arrays in frames(requests):
        stage = "load"
        try:
            if request["command"] == "version":
                import paddle

                write_frame(replies, {"ok": True, "version": paddle.__version__, "python": sys.version.split()[0]})
                continue
            key = json.dumps(request["model"], sort_keys=True)
            sets, at = [], 0
            for set_names in request["sets"]:
                sets.append(dict(zip(set_names, arrays[at : at + len(set_names)])))
                at += len(set_names)
            engine = request["engine"]
            loads = 0.0
            while True:
                stage = "load"
                chosen = (key, engine == "executor")
                if chosen not in cache:
                    started = time.time()
                    cache.clear()  # one model at a time: memory
                    cache[chosen] = load(engine, request["model"])
                    loads += time.time() - started
                loaded = cache[chosen]
                write_frame(replies, {"event": "loaded"})  # so that a crash can be told from one while loading
                stage = "run"
                try:
                    header, outputs = answer(loaded, request, sets)
                    break
                except CannotCarry:
                    if engine != "auto":
                        raise
                    engine = "executor"
            header.update(ok=True, version=loaded.version, load_seconds=loads, engine=loaded.engine)
            write_frame(replies, header, outputs)
        except Exception as e:  # noqa: BLE001 - everything Paddle can raise is an answer, the process goes on
            cache.clear()
            write_frame(replies, failure(e, stage))


if __name__ == "__main__":
    bound_memory()
    serve(*own_channel())
