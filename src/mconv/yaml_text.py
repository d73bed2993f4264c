"""YAML that somebody else wrote: what it says, or one error, whatever PyYAML stumbles over."""

from __future__ import annotations

from typing import Any, Optional, Union

_MOST_MERGED = 100_000  # keys of one mapping: in PyYAML before 6.0.4 each ``<<`` may double them


class NotYaml(ValueError):
    """A text that is no YAML, or has values that are none.

    Attributes:
        line: where, counted from 1; None where that is not known.
    """

    def __init__(self, reason: str, line: Optional[int] = None):
        super().__init__(reason)
        self.line = line


def parsed(text: Union[str, bytes]) -> Any:
    """What *text* says: plain Python values, of the first and only document.

    Raises:
        NotYaml: it is no YAML. PyYAML's constructors look neither whether a tagged text is a number nor how deep or
            long one is, and raise what comes of it (``!!bool x``: ``KeyError``, ``!!int ''``: ``IndexError``).
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            if len(node.value) > _MOST_MERGED:
                raise yaml.constructor.ConstructorError(None, None, "too many merged keys", node.start_mark)

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise NotYaml(e.problem or e.context or "?", None if mark is None else mark.line + 1) from None
    except (yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError, ArithmeticError) as e:
        raise NotYaml((str(e).splitlines() or ["?"])[0][:200]) from None
    except RecursionError:
        raise NotYaml("nested too deeply") from None
