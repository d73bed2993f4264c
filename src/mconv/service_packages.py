"""The packages of what runs a generated service, for its ``requirements.txt`` and for the managed runtimes alike.

numpy is not among them: the servers differ in which one they take.
"""

from __future__ import annotations

HTTP_SERVER = (
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "uvloop==0.23.0",
    "orjson==3.13.0",
    "prometheus-client==0.26.0",
    "pyyaml>=6",
)
INPUTS = ("tokenizers==0.23.3", "sentencepiece<0.3", "pillow<13", "opencv-python-headless<5", "pyclipper<1.5")
# what takes requests before Triton
FRONT_HTTP, FRONT_GRPC = "aiohttp==3.14.5", "grpcio==1.85.3"
OPENVINO, ONNXRUNTIME, PADDLE = "openvino==2026.4.1", "onnxruntime==1.23.2", "paddlepaddle==3.3.1"
# of another Paddle, which runs models in Triton's processes; the second is what it imports and does not declare
PADDLE_IN_TRITON = ("paddlepaddle==2.6.2", "setuptools<81")
