"""Saves a BERT-base sized model (12 layers, width 768, 440 MB) as PIR with the Paddle 3 that runs this: ``make_bert_pir.py OUT [WIDTH]``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "paddle"))

import paddle

from zoo import Bert

width = int(sys.argv[2]) if len(sys.argv) > 2 else 768
model = Bert(layers=12, width=width, heads=12, words=30522 if width == 768 else 200)
model.eval()
specs = [paddle.static.InputSpec([None, None], "int64", name) for name in ("input_ids", "token_type_ids")]
paddle.jit.save(paddle.jit.to_static(model, input_spec=specs, full_graph=True), str(Path(sys.argv[1]) / "bert"))
