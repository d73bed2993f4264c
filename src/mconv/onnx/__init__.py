"""ONNX → Program: reader, registry, importer and one module of operators per family."""
