#!/bin/bash
# A Hugging Face user: three commands from a name on the hub to an answer.
. "$(dirname "$0")/common.sh"
trap 'mconv serve --stop --port $PORT > /dev/null 2>&1' EXIT

gives 0 mconv convert hf://acme/bert out --pipeline --http-port "$PORT"
says 'verification passed' 'logits'
grep -rqs 'hf://acme/bert@1111111' out --include=provenance.json || fail "the commit is not in the provenance"
gives 0 mconv serve out --detach
says "$PORT"
gives 0 curl -s "http://127.0.0.1:$PORT/model/prediction" -d '{"key": ["0"], "value": ["the quick brown fox"]}'
says '"err_no": ?0' 'logits' 'POSITIVE|NEGATIVE'
[ $typed = 3 ] || fail "not three commands"
done_walking
