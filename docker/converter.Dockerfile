# mconv without Paddle: converts everything, compares ONNX models with what ONNX Runtime says of them.
#   docker build -f docker/converter.Dockerfile -t mconv .
#   docker run --rm -v "$PWD:/models" mconv to-serving pb_model
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/mconv \
    && /opt/mconv/bin/pip install --no-cache-dir --disable-pip-version-check '.[recipes,verify]'

FROM python:3.11-slim
COPY --from=build /opt/mconv /opt/mconv
# files that a mounted folder gets belong to this user; `docker run --user "$(id -u):$(id -g)"` for another
RUN useradd --create-home --uid 1000 mconv
USER 1000
ENV PATH=/opt/mconv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /models
ENTRYPOINT ["mconv"]
CMD ["--help"]
