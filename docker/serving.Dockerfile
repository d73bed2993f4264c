# Paddle Serving 0.9.0 on Paddle 2.3.2 and Python 3.8, on the CPU as it is.
#   docker build -f docker/serving.Dockerfile -t paddle-serving:0.9.0 docker
#   docker run --rm --init -p 39999:18082 -p 39998:8088 -v "$PWD:/home/model-server" -w /home/model-server/service \
#     paddle-serving:0.9.0
# in the folder with serving_server/ and service/, which `mconv to-serving --pipeline` writes. With a GPU: BASE is an image with CUDA 11.2, cuDNN 8.2 and
# TensorRT 8.0 that has a python3.8, and Paddle's own wheel with TensorRT replaces the one of the requirements.
ARG BASE=python:3.8-slim-bullseye
# hadolint ignore=DL3006
FROM ${BASE}
# Debian 11 has glibc 2.31; from 2.34 on, Paddle 2.3.2 does not load (undefined symbol _dl_sym)
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY serving-requirements.txt /tmp/
# --no-deps: the app's own pin of OpenCV has no wheel and does not build; what tokenizers depends on only downloads
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check -r /tmp/serving-requirements.txt \
    && python3 -m pip install --no-cache-dir --disable-pip-version-check --no-deps \
       paddle-serving-app==0.9.0 tokenizers==0.20.3 'pillow<11'
RUN useradd --create-home --uid 1000 --home-dir /home/model-server serving
USER 1000
# the pipeline writes its log where it is started
WORKDIR /home/model-server
ENV PYTHONUNBUFFERED=1
EXPOSE 8088 18082
CMD ["sh", "-c", "cp -r deployed/service deployed/serving_server . && cd service && exec python3 web_service.py"]
