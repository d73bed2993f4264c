"""Any model in, a Paddle model out that the runtime you deploy on really loads - and proof of it."""

__version__ = "0.1.0"
