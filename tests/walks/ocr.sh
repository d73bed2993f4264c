#!/bin/bash
# An OCR engineer: five folders of PaddleX become models for the runtime in production, three of them one service that reads a
# page. MODELS: the folders, and a page with WORD on it.
. "$(dirname "$0")/common.sh"
trap 'mconv serve --stop --port $PORT > /dev/null 2>&1' EXIT
cp -r "$MODELS" models
mv models/page.png .

gives 0 mconv convert models/det models/cls models/rec models/second_det models/second_rec out
for name in det cls rec second_det second_rec; do
    [ -f out/$name/serving_server/serving_server_conf.prototxt ] || fail "no serving model of $name"
done
gives 0 mconv scaffold --pipeline ocr out/det out/cls out/rec ocr --http-port "$PORT"
gives 0 mconv serve ocr --detach
gives 0 "$PYTHON" ocr/http_client.py page.png
says 'texts' 'boxes' 'scores' "$WORD"
gives 0 mconv serve --stop --port "$PORT"
done_walking
