"""Which tensor of a PyTorch model belongs to which parameter of a layer: decided on names, shapes and classes alone.

Every name of PyTorch's is followed through the rules until it is the name of a parameter. Whether the values are
transposed is decided by the class of the layer that has the parameter, never by the shape: square weights fit both
ways.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from mconv.dygraph.layout import Given, Layout, Match, Matching
from mconv.dygraph.rules import LayerRules, Rules
from mconv.errors import UsageError

# what wrappers put before every name: DataParallel, torch.compile, Lightning
_WRAPPERS = ("module.", "_orig_mod.", "model.")
_STEPS = 16  # renames inside of layers that follow one another


def match(given: Mapping[str, Given], layout: Layout, rules: Rules) -> Matching:
    """Match all tensors; where the names as they are do not do, with another prefix.

    Args:
        given: PyTorch's names → tensors.
        layout: the layer.

    Raises:
        UsageError: the rules name a parameter that the layer does not have.
    """
    best = _Matcher(given, layout, rules, ("", "")).run()
    if best.complete:
        return best
    # in the order of how much they change: of two that fit as well, the first is taken
    for prefix in _prefixes(list(given), list(layout.parameters)):
        found = _Matcher(given, layout, rules, prefix).run()
        if len(found.matches) > len(best.matches):
            best = found
    return best


def _prefixes(sources: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """What may be taken from, and put before, names: wrappers, and the first part of the names of either."""
    removed = [""]
    wrapper = ""
    while True:
        inner = [n[len(wrapper) :] for n in sources]
        more = next((w for w in _WRAPPERS if inner and all(n.startswith(w) for n in inner)), None)
        if more is None:
            break
        wrapper += more
        removed.append(wrapper)
    removed += [wrapper + first for first in _firsts(n[len(wrapper) :] for n in sources if n.startswith(wrapper))]
    added = ["", *_firsts(names)]
    return [(r, a) for r in dict.fromkeys(removed) for a in added if (r, a) != ("", "")]


def _firsts(names: Iterable[str]) -> list[str]:
    """``bert.`` of ``bert.encoder.…``, the most frequent ones first."""
    counts: dict[str, int] = {}
    for name in names:
        first, dot, _ = name.partition(".")
        if dot and not first.isdigit():
            counts[first + dot] = counts.get(first + dot, 0) + 1
    return sorted(counts, key=lambda n: -counts[n])[:3]


class _Matcher:
    def __init__(self, given: Mapping[str, Given], layout: Layout, rules: Rules, prefix: tuple[str, str]):
        self.given = dict(given)
        self.layout = layout
        self.rules = rules
        self.prefix = prefix
        self.folded: dict[str, tuple[str, str]] = {}
        self.own: dict[str, list[LayerRules]] = {}  # path → rules of its classes

    def run(self) -> Matching:
        made = Matching(prefix=self.prefix)
        taken: dict[int, Match] = {}
        self._fold()
        for source in self.given:
            landings = self._land(source)
            if landings is None:
                made.dropped.append(source)
            elif not landings:
                made.unmatched.append(source)
            for found in landings or ():
                tensor = self.layout.parameters[found.parameter].tensor
                problem = self._problem(found)
                if problem:
                    made.conflicts.append((found, problem))
                    taken.setdefault(tensor, found)
                elif tensor in taken:
                    made.repeated.append((found, taken[tensor]))
                else:
                    taken[tensor] = found
                    made.matches.append(found)
        self._rest(made, taken)
        order = {name: i for i, name in enumerate(self.layout.parameters)}
        made.matches.sort(key=lambda m: order[m.parameter])
        return made

    # names

    def _land(self, source: str) -> Optional[list[Match]]:
        """Where a tensor goes; an empty list: nowhere; None: it is not wanted."""
        exact = self.rules.names.get(source)
        if exact is not None:
            absent = [n for n in exact if n not in self.layout.parameters]
            if absent:
                near = difflib.get_close_matches(absent[0], self.layout.parameters, 1)
                raise UsageError(
                    f"rules {', '.join(self.rules.sets)}: names[{source!r}]: the layer has no {absent[0]!r}",
                    f"did you mean {near[0]!r}?" if near else None,
                )
            return [self._match(source, n) for n in exact]
        name = source.removeprefix(self.prefix[0])
        if _any(self.rules.drop, name):
            return None
        for rename in self.rules.rename:
            name = rename.apply(name)
        found = self._split(self.rules.split, name)
        parts = [(name, None)] if found is None else found
        landings: list[Match] = []
        for part_name, part in parts:
            walked = self._walk(self.prefix[1] + part_name, part)
            if walked is None:
                return None
            landings += [self._match(source, n, p) for n, p in walked if n in self.layout.parameters]
        return landings if len(landings) >= len(parts) else []

    def _walk(self, name: str, part: Any) -> Optional[list[tuple[str, Any]]]:
        """Follow a name through the rules of the layers that it lies in."""
        for _ in range(_STEPS):
            if name in self.layout.parameters:
                return [(name, part)]
            step = self._step(name, part)
            if step is None:
                return None
            if len(step) != 1 or step[0][0] == name:
                return step
            name, part = step[0]
        return [(name, part)]

    def _step(self, name: str, part: Any) -> Optional[list[tuple[str, Any]]]:
        path: Optional[str] = self.layout.owner(name)
        while path is not None:
            local = name[len(path) + 1 :] if path else name
            before = f"{path}." if path else ""
            for rules in self._rules(path):
                if _any(rules.drop, local):
                    return None
                changed = local
                for rename in rules.rename:
                    changed = rename.apply(changed)
                if changed != local:
                    return [(before + changed, part)]
                cut = self._split(rules.split, local) if part is None else None
                if cut is not None:
                    return [(before + n, p) for n, p in cut]
            path = self.layout.owner(path) if path else None
        return [(name, part)]

    def _split(self, splits: Iterable[Any], name: str) -> Optional[list[tuple[str, tuple[int, int, int]]]]:
        for split in splits:
            names = split.names(name)
            if names is not None:
                return [(n, (split.axis, i, len(names))) for i, n in enumerate(names)]
        return None

    def _rules(self, path: str) -> list[LayerRules]:
        if path not in self.own:
            classes = self.layout.classes.get(path, frozenset())
            self.own[path] = [r for r in self.rules.layers if not classes.isdisjoint(r.classes)]
        return self.own[path]

    # values

    def _match(self, source: str, name: str, part: Optional[tuple[int, int, int]] = None) -> Match:
        return Match(source, name, part, self._transposed(name), self.folded.get(source))

    def _transposed(self, name: str) -> bool:
        """Whether PyTorch has it the other way round. A tensor that two layers share is what the one needs that does
        not transpose: an embedding's, which a Linear uses too."""
        return all(self._says_transposed(n) for n in self.layout.names(name))

    def _says_transposed(self, name: str) -> bool:
        if _any(self.rules.as_stored, name):
            return False
        if _any(self.rules.transpose, name):
            return True
        return any(_any(r.transpose, local) for local, r in self._own_rules(name))

    def _own_rules(self, name: str) -> list[tuple[str, LayerRules]]:
        path = self.layout.owner(name)
        local = name[len(path) + 1 :] if path else name
        return [(local, r) for r in self._rules(path)]

    def _problem(self, found: Match) -> str:
        """Why a tensor does not fit its parameter; empty when it does."""
        given, wanted = self.given[found.source], self.layout.parameters[found.parameter]
        if given.why_not:
            return given.why_not
        shape = list(given.shape)
        if found.part is not None:
            axis, _, count = found.part
            if axis >= len(shape) or shape[axis] % count:
                return f"cannot be cut into {count} along dimension {axis}"
            shape[axis] //= count
        if found.transposed and len(shape) == 2:
            shape.reverse()
        if given.kind != wanted.kind:
            return f"holds {given.kind}s, the layer {wanted.kind}s"
        if shape == list(wanted.shape):
            return ""
        size = math.prod(shape)
        if size == math.prod(wanted.shape) and (
            size == 1
            and len(shape) <= 1
            and len(wanted.shape) <= 1
            or any(_any(r.reshape, local) for local, r in self._own_rules(found.parameter))
        ):
            return ""
        after = f" ({found.how}: {shape})" if found.how else ""
        if found.transposed and len(shape) == 2 and shape[::-1] == list(wanted.shape):
            return f"other shape{after}; it fits as it is stored (rules: as_stored)"
        if not found.transposed and len(shape) == 2 and shape[::-1] == list(wanted.shape):
            return f"other shape{after}; it fits the other way round (rules: transpose)"
        return f"other shape{after}"

    def _fold(self) -> None:
        """Put the two tensors of a weight norm together where the layer has one plain weight."""
        here: dict[str, str] = {}
        for source in self.given:
            name = source
            for rename in self.rules.rename:
                name = rename.apply(name)
            here[name] = source
        for name, source in here.items():
            plain = name[:-2]
            other = here.get(f"{plain}_v")
            if not name.endswith("_g") or other is None:
                continue
            lands = self._land(source)
            if lands == [] and self._land(plain):
                g, v = self.given[source], self.given[other]
                why_not = g.why_not or v.why_not
                if len(g.shape) != len(v.shape) or any(a not in (1, b) for a, b in zip(g.shape, v.shape)):
                    why_not = f"a weight norm of shapes {list(g.shape)} and {list(v.shape)}"
                del self.given[source], self.given[other]
                self.given[plain] = Given(v.shape, v.kind, why_not)
                self.folded[plain] = (source, other)

    # what is left

    def _rest(self, made: Matching, taken: Mapping[int, Match]) -> None:
        with_tensor = {self.layout.owner(m.parameter) for m in taken.values()}
        seen: set[int] = set()
        for name, parameter in self.layout.parameters.items():
            if parameter.tensor in taken or parameter.tensor in seen:
                continue
            seen.add(parameter.tensor)
            names = self.layout.names(name)
            value = next((v for n in names for p, v in self.rules.fill if p.fullmatch(n)), None)
            if value is None and self.layout.owner(name) in with_tensor:
                own = self._own_rules(name)
                value = next((v for local, r in own for p, v in r.fill if p.fullmatch(local)), None)
            if any(_any(self.rules.keep, n) for n in names):
                made.kept.append(name)
            elif value is not None:
                made.filled[name] = value
            else:
                made.missing.append(name)


def _any(patterns: Iterable[re.Pattern[str]], name: str) -> bool:
    return any(p.fullmatch(name) for p in patterns)
