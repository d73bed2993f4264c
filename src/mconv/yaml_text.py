"""YAML that somebody else wrote: what it says, or one error, whatever PyYAML stumbles over and however much it is."""

from __future__ import annotations

from typing import Any, Optional, Union

MOST = 8 << 20  # bytes, or characters, of a text: two seconds
_LARGE = 1 << 16  # from where on libyaml reads it, which takes an eighth of the time of PyYAML's own Python
_DEEPEST = 200  # libyaml before 0.2.6 does not count, and PyYAML's binding to it calls itself until the process dies
_LONGEST_NUMBER = 1000  # characters: 1:59:59 is a number to the base of 60, and takes the square of its length
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
        NotYaml: it is no YAML, or more of it than 8 MB. PyYAML's constructors look neither whether a tagged text is a
            number nor how deep or long one is, and raise what comes of it (``!!bool x``: ``KeyError``, ``!!int ''``:
            ``IndexError``).
    """
    import yaml

    try:
        return yaml.load(text, Loader=_loader(text))
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise NotYaml(e.problem or e.context or "?", None if mark is None else mark.line + 1) from None
    except NotYaml:
        raise
    except (yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError, ArithmeticError) as e:
        raise NotYaml((str(e).splitlines() or ["?"])[0][:200]) from None
    except RecursionError:
        raise NotYaml("nested too deeply") from None


def _loader(text: Union[str, bytes]) -> Any:
    """The loader for a text: PyYAML's safe one, with bounds.

    Raises:
        NotYaml: the text is too long, or nested too deeply.
        yaml.YAMLError: it is no YAML.
    """
    import yaml

    if len(text) > MOST:
        raise NotYaml(f"{len(text)} bytes are more than {MOST >> 20} MB")
    base: Any = yaml.SafeLoader
    if len(text) > _LARGE and hasattr(yaml, "CSafeLoader"):
        base = yaml.CSafeLoader
        _require_flat(text)

    class Loader(base):
        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            if len(node.value) > _MOST_MERGED:
                raise yaml.constructor.ConstructorError(None, None, "too many merged keys", node.start_mark)

    for tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        Loader.add_constructor(tag, _bounded(base.yaml_constructors[tag]))
    return Loader


def _require_flat(text: Union[str, bytes]) -> None:
    """Have a text be nested no deeper than anything is that is written by hand or by PaddleX.

    Raises:
        NotYaml: it is.
    """
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise NotYaml("nested too deeply", None if event.start_mark is None else event.start_mark.line + 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _bounded(construct: Any) -> Any:
    def number(loader: Any, node: Any) -> Any:
        require_short(node)
        return construct(loader, node)

    return number


def require_short(node: Any) -> None:
    """Have a node that is about to be read as a number be no longer than one is.

    Raises:
        NotYaml: it is.
    """
    if len(node.value) > _LONGEST_NUMBER:
        raise NotYaml(f"a number of {len(node.value)} characters", node.start_mark.line + 1)
