#!/bin/bash
# A CI engineer: one recipe, reports for the server, exit codes that tell failures apart, a second run that does nothing.
. "$(dirname "$0")/common.sh"

cat > make.py <<'P'
import numpy as np, onnx
from onnx import TensorProto as T, helper, numpy_helper

rng = np.random.default_rng(0)
info = lambda n, d: helper.make_tensor_value_info(n, T.FLOAT, ["batch", d])
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["scores"])], "net",
    [info("x", 8)], [info("scores", 4)], [numpy_helper.from_array(rng.standard_normal((8, 4), np.float32), "w")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "net.onnx")
P
cat > wrong.py <<'P'
import mconv


@mconv.onnx_op("Relu", since=13)
def relu(ctx, x):
    return ctx.op("leaky_relu", X=x, alpha=0.5)
P
"$PYTHON" make.py || fail "no model"

gives 0 mconv init net.onnx --out recipe.yaml
gives 0 mconv run recipe.yaml --out runs --junit junit.xml --summary summary.md
[ -s summary.md ] && grep -q '<testcase' junit.xml && ! grep -q '<failure' junit.xml || fail "no reports"
gives 0 mconv run recipe.yaml --out runs --json
grep -q '"cached"' said || fail "the second run did the work again"
if grep -q '"status": "done"' said; then fail "the second run did some of the work again"; fi
gives 10 mconv onnx2paddle net.onnx wrong --plugin wrong.py
says 'mconv report-bug -- '
gives 10 mconv verify net.onnx wrong.failed-verification --junit verify.xml
grep -q '<failure' verify.xml || fail "a difference is no failure of the report"
head -c 60 net.onnx > cut.onnx
gives 4 mconv inspect cut.onnx
gives 3 mconv inspect nothing.onnx
gives 2 mconv onnx2paddle net.onnx again --timeout nan
says '--timeout nan: must be a finite number'
made=$(dirname "$(find runs -name provenance.json | head -1)")
gives 0 mconv check "$made"
echo more >> "$(find "$made" -name '*.prototxt' -o -name '*.pdmodel' | sort | head -1)"
gives 12 mconv check "$made"
done_walking
