"""What both ways of running a model in Paddle refuse, and how they take its inputs; see ``worker_frames.py`` for where this
is executed.
"""


class BadFeed(Exception):
    """The arrays given are not the ones that the model takes."""


class CannotCarry(Exception):
    """The Predictor has no way to pass a value of this type in or out."""


class OtherFormat(Exception):
    """A model in a format that this Paddle does not have."""


def core_of(paddle):
    """Paddle's inner module, which has changed its name."""
    return paddle.base.core if hasattr(paddle, "base") else paddle.fluid.core


def check_names(names, feed):
    missing = [n for n in names if n not in feed]
    unknown = [n for n in feed if n not in names]
    if missing or unknown:
        text = f"the model's inputs are {', '.join(names)}"
        text += f"; missing: {', '.join(missing)}" if missing else ""
        text += f"; not among them: {', '.join(unknown)}" if unknown else ""
        raise BadFeed(text)


def lod_of(rows, level):
    """Offsets of sequences that are laid end to end in *rows* rows, outermost level first: one more sequence than levels,
    as even as they go; each level above parts the sequences below into the first one and the rest."""
    parts = max(1, min(rows, level + 1))
    levels = [[rows * i // parts for i in range(parts + 1)]]
    while len(levels) < level:
        below = len(levels[0]) - 1
        levels.insert(0, [0, 1, below] if below > 1 else [0, below])
    return levels
