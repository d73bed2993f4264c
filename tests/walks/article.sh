#!/bin/bash
# The article's author: a BERT of Chinese characters becomes a service that answers, its log's level is changed, and load is
# put on it, every answer compared. LOOPS: requests of each of the 20 clients, 200 in the article.
. "$(dirname "$0")/common.sh"

cat > make_bert.py <<'P'
import torch
from transformers import BertConfig, BertForSequenceClassification

torch.manual_seed(0)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"一博愿你在岁月中更加平湖静衣襟生花好坏我们都，|"]
config = BertConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    num_labels=2, initializer_range=0.3,
)
BertForSequenceClassification(config).save_pretrained("bert")
open("bert/vocab.txt", "w", encoding="utf-8").write("\n".join(words) + "\n")
P
text='一博| 愿你在岁月中更加平湖静月，衣襟生花，你好你坏我们都在，'
url=http://127.0.0.1:$PORT/model/prediction
trap 'mconv serve --stop --port $PORT > /dev/null 2>&1' EXIT

gives 0 "$PYTHON" make_bert.py
gives 0 mconv convert bert out --pipeline --tokenizer bert/vocab.txt --http-port "$PORT"
says 'verification passed' 'logits'
grep -q logits out/serving_server/serving_server_conf.prototxt || fail "the output's name is another one in the service"
gives 0 env SERVICE_LOG_LEVEL=WARNING "$PYTHON" -m mconv serve out --detach --port "$PORT" --log service.log
gives 0 "$PYTHON" out/service/http_client.py "$text"
says 'logits'
first=$(grep -o 'logits.*' said)
[ -n "$first" ] || fail "no answer"
if grep -q 'INFO' service.log; then fail "the level of the log was not changed"; fi
printf '%s\n' "$text" '你好' '衣襟生花，平湖静月' > texts.txt
gives 0 mconv bench "$url" --texts texts.txt --threads 20 --loops "${LOOPS:-200}" --warmup 1 --json
"$PYTHON" - <<'P' || fail "an answer was wrong, or none"
import json, re
text = open("said", encoding="utf-8").read()
found = json.loads(text[text.index("{"):text.rindex("}") + 1])
row = found["addresses"][0]
assert row["status"] == "ok" and row["right"] == row["requests"] and row["requests"] % 20 == 0, row
P
gives 0 mconv serve-check out
says 'http key/value +ok' 'rpc tensors +ok' 'bad requests +ok'
gives 0 mconv serve --stop --port "$PORT"
done_walking
