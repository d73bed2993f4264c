"""The console script. Nothing is imported at the top but how signals are answered."""

import gc
import sys

from mconv.cli.signals import end_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def start() -> "NoReturn":
    """Run the command line on ``sys.argv``."""
    end_at_once()
    # of itself Python looks for circles among all that there is after each few hundred objects that are made: a tenth of
    # what a conversion takes, most of it for what is imported and stays
    gc.set_threshold(10_000, 20, 20)
    from mconv.cli import process

    process.prepare_streams()
    from mconv.cli.main import run

    process.leave(run(sys.argv[1:]))
