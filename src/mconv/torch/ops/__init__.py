"""One module per family of ATen operators."""
