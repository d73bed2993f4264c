"""The forms in which servers are asked over HTTP: how a request is written, and what an answer holds.

``key-value`` and ``tensors`` are those of Paddle Serving's pipeline 0.9.0 (``docs/serving.md``): ``{"key": […], "value":
[text, …]}``, and ``{"tensors": [{"name", "elem_type", "shape", "float_data", …}]}``. ``open-inference`` is the REST API of
the Open Inference Protocol (https://github.com/kserve/open-inference-protocol), which Triton, KServe, MLServer and OpenVINO
Model Server speak.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from mconv.errors import UnsupportedError
from mconv.program.dtypes import DType
from mconv.serving.configure import TYPES
from mconv.serving.kinds import PICTURES

KEY_VALUE, TENSORS, OPEN_INFERENCE = "key-value", "tensors", "open-inference"
# of Paddle Serving, and all that one input set can be sent in
FORMS = (KEY_VALUE, TENSORS)
ALL = (*FORMS, OPEN_INFERENCE)
# type of the elements → their field in Paddle Serving's Tensor message; the numbers are the configuration's
FIELDS = {
    DType.INT64: "int64_data",
    DType.FP32: "float_data",
    DType.INT32: "int_data",
    DType.FP64: "float64_data",
    DType.INT16: "int_data",
    DType.FP16: "float_data",
    DType.UINT8: "uint32_data",
    DType.INT8: "int_data",
    DType.BOOL: "bool_data",
}
# tensor data types of the Open Inference Protocol
OPEN_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
# what is read off pages, for each of them a text in JSON
PAGES = ("texts", "boxes", "scores")
FROM_OPEN_TYPES = {label: name for name, label in OPEN_TYPES.items()}
_PATHS = (
    (re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer"), OPEN_INFERENCE),
    (re.compile(r"/[^/]+/prediction"), KEY_VALUE),
)
_STRING = 12  # elem_type of a text


def open_type(name: str, dtype: DType) -> str:
    """The Open Inference Protocol's type of an input or output.

    Raises:
        UnsupportedError: it has none.
    """
    if dtype.label not in OPEN_TYPES:
        raise UnsupportedError(f"{name}: the Open Inference Protocol has no type for {dtype.label}")
    return OPEN_TYPES[dtype.label]


def form_of(path: str) -> Optional[str]:
    """The form of the requests that the path of an address takes; None where it is that of no server here."""
    return next((form for pattern, form in _PATHS if pattern.fullmatch(path.rstrip("/"))), None)


def message(feed: Mapping[str, object], form: str, kind: str = "tensor") -> dict[str, Any]:
    """The request of arrays and texts, as what is written as JSON.

    Args:
        form: one of :data:`ALL`.
        kind: of the service: ``text``, ``image`` or ``tensor``. By the Open Inference Protocol, texts and pictures are the
            elements of one tensor that is called so (those of pages ``image``, too).

    Raises:
        UnsupportedError: the form has no field for an array's type.
    """
    if form == OPEN_INFERENCE:
        if kind == "text" or kind in PICTURES:
            values, name = list(feed.values()), "image" if kind in PICTURES else kind
            return {"inputs": [{"name": name, "datatype": "BYTES", "shape": [len(values), 1], "data": values}]}
        return {"inputs": [_input(name, value) for name, value in feed.items()]}
    if form == TENSORS:
        return {"tensors": [_tensor(name, value) for name, value in feed.items()]}
    values = [v if isinstance(v, str) else json.dumps(_plain(np.asarray(v))) for v in feed.values()]
    return {"key": list(feed), "value": values}


def body(feed: Mapping[str, object], form: str, kind: str = "tensor") -> bytes:
    """:func:`message` as JSON.

    Raises:
        UnsupportedError: the form has no field for an array's type.
    """
    return json.dumps(message(feed, form, kind), ensure_ascii=False).encode("utf-8", "surrogatepass")


def answer(text: str, form: str) -> dict[str, Any]:
    """The outputs in an answer: name → nested lists of numbers or texts.

    Raises:
        ValueError: it says that something went wrong, or is none of the form.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"the service answered no JSON object: {text[:300]}")
    if form == OPEN_INFERENCE:
        if found.get("error"):
            raise ValueError(f"the service answered: {str(found['error'])[:300]}")
        return {str(output["name"]): _shaped(output) for output in found.get("outputs", [])}
    if found.get("err_no", 0) != 0:
        raise ValueError(f"the service answered error {found['err_no']}: {str(found.get('err_msg', ''))[:300]}")
    return {key: json.loads(value) for key, value in zip(found.get("key", []), found.get("value", []))}


def _shaped(output: Mapping[str, Any]) -> Any:
    """The data of an output in its shape; it may come flat or nested."""
    data = output.get("data", [])
    if output.get("datatype") == "BYTES":
        return data
    return np.array(data).reshape(output["shape"]).tolist()


def _plain(array: np.ndarray) -> Any:
    if array.dtype.kind == "c":
        raise UnsupportedError(f"a request has no form for {array.dtype.name}")
    return array.tolist()


def _tensor(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": name, "elem_type": _STRING, "str_data": [value]}
    array = np.asarray(value)
    kind = DType.of(array.dtype.name)
    if kind not in FIELDS:
        raise UnsupportedError(f"input {name!r}: Paddle Serving's tensors have no field for {kind.label}")
    return {"name": name, "elem_type": TYPES[kind], "shape": list(array.shape), FIELDS[kind]: array.ravel().tolist()}


def _input(name: str, value: object) -> dict[str, Any]:
    array = np.asarray(value)
    kind = OPEN_TYPES.get(array.dtype.name)
    if kind is None:
        raise UnsupportedError(f"input {name}: the Open Inference Protocol has no type for {array.dtype}")
    return {"name": name, "datatype": kind, "shape": list(array.shape), "data": array.ravel().tolist()}
