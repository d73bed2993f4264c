"""What the inputs and outputs of a served model are called: of ``convert`` and ``to-serving``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from mconv.options.declare import OUTPUT, Options, option
from mconv.options.parsing import aliases


class Aliases(Options):
    feed_alias: Optional[Mapping[str, str]] = option(
        default=None,
        metavar="OLD=NEW",
        typed=list[str],
        parse=aliases,
        help="What clients call an input; repeatable.",
        group=OUTPUT,
        recipe=False,
    )
    fetch_alias: Optional[Mapping[str, str]] = option(
        default=None,
        metavar="OLD=NEW",
        typed=list[str],
        parse=aliases,
        help="What clients call an output; repeatable.",
        group=OUTPUT,
        recipe=False,
    )
