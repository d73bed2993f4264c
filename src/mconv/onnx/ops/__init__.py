"""One module per family of ONNX operators."""
