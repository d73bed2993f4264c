"""Runs paddle2onnx on a Paddle model; executed in a process of its own by ``paddle2onnx.py`` beside it.

paddle2onnx prints instead of raising, leaves with a status of its own after failures, aborts the process where it has
no mapper, and, asked to write a file, lets polygraphy install packages from the network. So it only gives the bytes
here, and what became of the conversion is said in one JSON document on file descriptor 3.
"""

import json
import os
import sys


def convert(request):
    import paddle2onnx

    data = paddle2onnx.export(
        request["program"], request["params"] or "", None, opset_version=request["opset"], auto_upgrade_opset=True
    )
    with open(request["out"], "wb") as file:
        file.write(data)
    return {"ok": True}


def supported(request):
    """The names of the operators that paddle2onnx has a mapper for."""
    import paddle2onnx.paddle2onnx_cpp2py_export as core

    return {"ok": True, "operators": sorted(core.get_all_supported_operators_pir())}


def main():
    answer = os.fdopen(3, "w")
    request = json.loads(sys.stdin.read())
    try:
        result = supported(request) if request["task"] == "supported" else convert(request)
    except SystemExit:  # its way to say that it failed; it has printed why
        result = {"ok": False}
    except Exception as e:  # noqa: BLE001 - whatever it comes across
        lines = str(e).strip().splitlines()
        result = {"ok": False, "error": "{}: {}".format(type(e).__name__, lines[0] if lines else "")}
    answer.write(json.dumps(result))
    answer.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if result["ok"] else 1)  # Paddle's own end may crash after the work is done


if __name__ == "__main__":
    main()
