"""PyTorch → Program: every form that a model comes in, through ``torch.export`` and its core ATen operators."""
