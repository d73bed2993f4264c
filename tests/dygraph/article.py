"""Run by the Python of a managed runtime: the article's snippet, then ``mconv.to_static``.

usage: article.py FOLDER; prints one JSON document. Needs numpy, protobuf and Paddle only.
"""

import json
import sys

import paddle
from paddle.static import InputSpec

import mconv
from tests.dygraph import layers

paddle.seed(3)
out = {"paddle": paddle.__version__}
paddle_model = layers.Bert()
paddle_model.eval()
input_ids = InputSpec([None, None], "int64", "input_ids")
token_type_ids = InputSpec([None, None], "int64", "token_type_ids")
attention_mask = InputSpec([None, None], "int64", "attention_mask")
specs = [input_ids, token_type_ids, attention_mask]
report = mconv.to_static(paddle_model, specs, sys.argv[1] + "/pb_model")
out["reports"] = [report.to_dict()]
# after the snippet's own call
model = paddle.jit.to_static(paddle_model, input_spec=specs)
out["reports"].append(mconv.to_static(model, path=sys.argv[1] + "/again").to_dict())
for name, spec in (
    ("Conv", ["image:float32[?,3,?,?]"]), ("Lstm", ["ids:int64[?,?]"]), ("Tupled", ["x:float32[?,4]"]),
    ("Named", ["x:float32[b,4]", "shift:float32[4]"]), ("Unused", ["x:float32[b,4]", "mask:float32[?,3]"]),
    ("Same", ["x:float32[b,4]"]), ("Conditional", ["x:float32[b,4]"]),
):  # fmt: skip
    made = mconv.to_static(getattr(layers, name)(), spec, sys.argv[1] + "/" + name)
    out["reports"].append(made.to_dict())
out["heavy"] = sorted({"onnx", "typer", "rich", "yaml"} & set(sys.modules))
print("\n" + json.dumps(out))
