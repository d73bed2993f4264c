"""The console script. Nothing is imported at the top but how signals are answered."""

import sys

from mconv.cli.signals import end_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def start() -> "NoReturn":
    """Run the command line on ``sys.argv``."""
    end_at_once()
    from mconv.cli import process

    process.prepare_streams()
    process.collect_less_often()
    from mconv.cli.main import run

    process.leave(run(sys.argv[1:]))
