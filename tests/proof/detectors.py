"""Small detectors of one head and one decoding, by what chooses among their boxes; an image of zeros has nothing in it.

The head gives each cell of 8 pixels one box, whether there is anything, and two classes. ``python
tests/proof/detectors.py FOLDER`` has the installed Paddle save its own as PIR ``.json``, with what they give of
:func:`frames`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np

STRIDE, LEAST, OVERLAP, APART = 8, 0.5, 0.3, 4096.0  # pixels, score, part of the union, pixels between two classes
OUTPUTS = ("boxes", "scores", "labels")


def weights() -> tuple[np.ndarray, np.ndarray]:
    """The head's: float32 [7, 3, 8, 8] and [7]; rows are centre (2), size (2), whether (1), classes (2)."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 0.6, (7, 3, STRIDE, STRIDE))
    kernel -= kernel.mean((1, 2, 3), keepdims=True)
    kernel[4] += 6 / kernel[4].size  # what is bright is something
    return kernel.astype(np.float32), np.float32([0, 0, 0.6, 0.6, -3, 0, 0])


def pictures() -> list[np.ndarray]:
    """Pixels uint8 [height, width, 3]: a picture with much in it, a black one, a smaller one, a black one of its size."""
    rng = np.random.default_rng(5)
    large, small = (rng.integers(0, 256, (*size, 3), np.uint8) for size in ((48, 40), (24, 56)))
    return [large, np.zeros_like(large), small, np.zeros_like(small)]


def frames() -> list[np.ndarray]:
    """The pictures as the detectors take them: float32 [1, 3, height, width] from 0 to 1."""
    return [(p.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32) for p in pictures()]


# PyTorch -----------------------------------------------------------------------------------------------------------


def torch_detector(kind: str) -> Any:
    """A module of one image [1, 3, height, width]: ``nms`` by torchvision's operator, class by class; ``mask`` by masks
    alone, each box against the better ones."""
    import torch
    from torch import nn

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kernel, bias = weights()
            self.head = nn.Conv2d(3, 7, STRIDE, STRIDE)
            self.head.weight.data, self.head.bias.data = torch.from_numpy(kernel), torch.from_numpy(bias)

        def forward(self, image: Any) -> tuple[Any, Any, Any]:
            y = self.head(image)
            _, _, h, w = y.shape
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            cells = torch.stack([columns, rows]).to(y.dtype)
            centre = (y[0, :2].sigmoid() + cells) * STRIDE
            extent = y[0, 2:4].clamp(-2, 2).exp() * STRIDE
            boxes = torch.cat([centre - extent / 2, centre + extent / 2]).flatten(1).T
            best, labels = y[0, 5:].sigmoid().flatten(1).max(0)
            scores = y[0, 4].sigmoid().flatten() * best
            there = scores > LEAST * 0.5
            boxes, scores, labels = boxes[there], scores[there], labels[there]
            apart = boxes + labels.to(boxes.dtype).unsqueeze(1) * APART
            if kind == "nms":
                kept = torch.ops.torchvision.nms(apart, scores, OVERLAP)
                return boxes[kept], scores[kept], labels[kept]
            order = scores.argsort(descending=True)
            boxes, scores, labels, apart = boxes[order], scores[order], labels[order], apart[order]
            low = torch.maximum(apart[:, None, :2], apart[None, :, :2])
            high = torch.minimum(apart[:, None, 2:], apart[None, :, 2:])
            shared = (high - low).clamp(min=0).prod(-1)
            area = (apart[:, 2:] - apart[:, :2]).prod(-1)
            near = shared > OVERLAP * (area[:, None] + area[None] - shared)
            alone = ~torch.tril(near, -1).any(1)
            return boxes[alone], scores[alone], labels[alone]

    return Detector().eval()


# ONNX --------------------------------------------------------------------------------------------------------------


def onnx_detector() -> Any:
    """The ``nms`` detector as exporters write it: NonMaxSuppression of all boxes, then Gather of what it chose."""
    from onnx import TensorProto, helper, numpy_helper

    kernel, bias = weights()
    constants = {
        "kernel": kernel, "bias": bias, "one": np.array([1]), "step": np.float32(STRIDE), "half": np.float32(0.5),
        "low": np.float32(-2), "high": np.float32(2), "most": np.array([100]), "overlap": np.float32([OVERLAP]),
        "least": np.float32([LEAST * 0.5]), "zero": np.array(0), "unit": np.array(1), "flat": np.array([0, 0, -1]),
        "two": np.array(2), "three": np.array(3), "parts": np.array([2, 2, 1, 2]), "nothing": np.array([0]),
        "line": np.array([-1]), "minus": np.float32(-1),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "kernel", "bias"], ["y"], strides=[STRIDE, STRIDE]),
        node("Split", ["y", "parts"], ["xy", "wh", "whether", "classes"], axis=1),
        node("Shape", ["y"], ["shape"]),
        node("Gather", ["shape", "two"], ["h"]),
        node("Gather", ["shape", "three"], ["w"]),
        node("Range", ["zero", "h", "unit"], ["rows_"]),
        node("Range", ["zero", "w", "unit"], ["columns_"]),
        node("Unsqueeze", ["rows_", "one"], ["rows__"]),
        node("Unsqueeze", ["columns_", "nothing"], ["columns__"]),
        node("Unsqueeze", ["h", "nothing"], ["h_"]),
        node("Unsqueeze", ["w", "nothing"], ["w_"]),
        node("Concat", ["h_", "w_"], ["size"], axis=0),
        node("Expand", ["rows__", "size"], ["rows"]),
        node("Expand", ["columns__", "size"], ["columns"]),
        node("Unsqueeze", ["rows", "nothing"], ["rows_u"]),
        node("Unsqueeze", ["columns", "nothing"], ["columns_u"]),
        node("Concat", ["columns_u", "rows_u"], ["cells_i"], axis=0),
        node("Cast", ["cells_i"], ["cells_f"], to=TensorProto.FLOAT),
        node("Sigmoid", ["xy"], ["xy_s"]),
        node("Add", ["xy_s", "cells_f"], ["xy_c"]),
        node("Mul", ["xy_c", "step"], ["centre"]),
        node("Clip", ["wh", "low", "high"], ["wh_c"]),
        node("Exp", ["wh_c"], ["wh_e"]),
        node("Mul", ["wh_e", "step"], ["extent"]),
        node("Mul", ["extent", "half"], ["side"]),
        node("Sub", ["centre", "side"], ["first"]),
        node("Add", ["centre", "side"], ["second"]),
        node("Concat", ["first", "second"], ["corners"], axis=1),
        node("Reshape", ["corners", "flat"], ["corners_f"]),
        node("Transpose", ["corners_f"], ["all_boxes"], perm=[0, 2, 1]),
        node("Sigmoid", ["classes"], ["classes_s"]),
        node("Sigmoid", ["whether"], ["whether_s"]),
        node("Mul", ["classes_s", "whether_s"], ["scores_c"]),
        node("Reshape", ["scores_c", "flat"], ["scores_f"]),
        node("ReduceMax", ["scores_f"], ["best"], axes=[1], keepdims=1),
        node("Equal", ["scores_f", "best"], ["is_best"]),
        node("Where", ["is_best", "scores_f", "minus"], ["scores_b"]),
        node("NonMaxSuppression", ["all_boxes", "scores_b", "most", "overlap", "least"], ["found"]),
        node("Gather", ["found", "two"], ["at"], axis=1),
        node("Gather", ["found", "unit"], ["labels"], axis=1),
        node("Squeeze", ["all_boxes", "nothing"], ["boxes_1"]),
        node("Reshape", ["best", "line"], ["best_1"]),
        node("Gather", ["boxes_1", "at"], ["boxes"], axis=0),
        node("Gather", ["best_1", "at"], ["scores"], axis=0),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "detector",
        [info("image", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            info("boxes", TensorProto.FLOAT, [None, 4]),
            info("scores", TensorProto.FLOAT, [None]),
            info("labels", TensorProto.INT64, [None]),
        ],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# Paddle ------------------------------------------------------------------------------------------------------------


def paddle_detectors() -> Mapping[str, Callable[[], Any]]:
    """Layers of one image: ``nms`` and ``multiclass_nms3`` by Paddle's operators, ``mask`` by masks alone."""
    import paddle
    from paddle import nn

    class Detector(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            kernel, bias = weights()
            self.head = nn.Conv2D(3, 7, STRIDE, STRIDE)
            self.head.weight.set_value(kernel)
            self.head.bias.set_value(bias)

        def decoded(self, image: Any) -> tuple[Any, Any, Any]:
            """Boxes [cells, 4], scores [classes, cells], whether there is anything [cells]."""
            y = self.head(image)
            shape = paddle.shape(y)
            rows, columns = paddle.meshgrid(paddle.arange(shape[2]), paddle.arange(shape[3]))
            cells = paddle.stack([columns, rows]).astype(y.dtype)
            centre = (nn.functional.sigmoid(y[0, :2]) + cells) * STRIDE
            extent = paddle.exp(paddle.clip(y[0, 2:4], -2, 2)) * STRIDE
            boxes = paddle.concat([centre - extent / 2, centre + extent / 2]).flatten(1).transpose([1, 0])
            return boxes, nn.functional.sigmoid(y[0, 5:]).flatten(1), nn.functional.sigmoid(y[0, 4]).flatten()

        def candidates(self, image: Any) -> tuple[Any, Any, Any, Any]:
            """Boxes, scores, labels and boxes with the classes apart, of what is likely enough."""
            boxes, classes, whether = self.decoded(image)
            scores, labels = classes.max(0) * whether, classes.argmax(0)
            return (*self.chosen(boxes, scores, labels, scores > LEAST * 0.5),)

        def chosen(self, boxes: Any, scores: Any, labels: Any, there: Any) -> tuple[Any, Any, Any, Any]:
            at = paddle.nonzero(there).flatten()
            boxes, scores, labels = (paddle.gather(v, at) for v in (boxes, scores, labels))
            return boxes, scores, labels, boxes + labels.astype(boxes.dtype).unsqueeze(1) * APART

    class Nms(Detector):
        def forward(self, image: Any) -> Any:
            boxes, scores, labels, apart = self.candidates(image)
            kept = paddle.vision.ops.nms(apart, OVERLAP, scores)
            return paddle.gather(boxes, kept), paddle.gather(scores, kept), paddle.gather(labels, kept)

    class Mask(Detector):
        def chosen(self, boxes: Any, scores: Any, labels: Any, there: Any) -> Any:
            boxes, scores, labels = boxes[there], scores[there], labels[there]
            return boxes, scores, labels, boxes + labels.astype(boxes.dtype).unsqueeze(1) * APART

        def forward(self, image: Any) -> Any:
            boxes, scores, labels, apart = self.candidates(image)
            order = paddle.argsort(scores, descending=True)
            boxes, scores, labels, apart = (v[order] for v in (boxes, scores, labels, apart))
            low = paddle.maximum(apart[:, :2].unsqueeze(1), apart[:, :2].unsqueeze(0))
            high = paddle.minimum(apart[:, 2:].unsqueeze(1), apart[:, 2:].unsqueeze(0))
            shared = paddle.clip(high - low, 0).prod(-1)
            area = (apart[:, 2:] - apart[:, :2]).prod(-1)
            near = (shared > OVERLAP * (area.unsqueeze(1) + area.unsqueeze(0) - shared)).astype("float32")
            alone = paddle.tril(near, -1).sum(1) == 0
            return boxes[alone], scores[alone], labels[alone]

    class Multiclass(Detector):
        def forward(self, image: Any) -> Any:
            boxes, classes, whether = self.decoded(image)
            found, _, number = paddle._C_ops.multiclass_nms3(
                boxes.unsqueeze(0),
                (classes * whether).unsqueeze(0),
                None,
                LEAST * 0.5,
                100,
                100,
                OVERLAP,
                True,
                1.0,
                -1,
            )
            return found[:, 2:], found[:, 1], found[:, 0].astype("int64"), number

    return {"nms": Nms, "mask": Mask, "multiclass_nms3": Multiclass}


def save(folder: Path) -> None:
    """``NAME.json`` with its parameters, and ``NAME.npz``: output *k* of frame *i* as ``i.k``."""
    import paddle

    for name, kind in paddle_detectors().items():
        layer = kind()
        layer.eval()
        spec = paddle.static.InputSpec([1, 3, None, None], "float32", "image")
        answers = {}
        for i, frame in enumerate(frames()):
            for k, value in enumerate(layer(paddle.to_tensor(frame))):
                answers[f"{i}.{k}"] = value.numpy()
        paddle.jit.save(layer, str(folder / name), input_spec=[spec])
        np.savez(folder / f"{name}.npz", **answers)


if __name__ == "__main__":
    save(Path(sys.argv[1]))
