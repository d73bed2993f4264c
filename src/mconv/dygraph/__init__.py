"""A live ``paddle.nn.Layer``: found, given its weights, run, and saved by Paddle itself as a static program."""
