"""What the conditions of a search space ask of its values, of fixed ones and of those that are tried first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dnnsweep.errors import Mistake
from dnnsweep.space import (
    KNOBS,
    Case,
    Conditional,
    SearchSpace,
    branches_of,
    builder_knob,
    cases,
    countable,
    has_no_branch,
    sampling_order,
    sometimes_absent,
    yaml_text,
)
from dnnsweep.space.builder_knobs import VALUES_RULE
from dnnsweep.spec.sections import SweepSpec


def check_conditions(spec: SweepSpec) -> Iterator[Mistake]:
    """Find conditions that never or always hold, and values that are missing or never used."""
    space = countable(spec.space) if spec.sampler.kind == "grid" else spec.space
    conditional = {name: domain for name, domain in space.items() if isinstance(domain, Conditional)}
    impossible = [mistake for name, domain in conditional.items() for mistake in _impossible(name, domain, space, spec)]
    yield from impossible
    known = [] if impossible or not conditional else cases(space, spec.default_params)
    left = sometimes_absent(space, spec.default_params) if known else ()
    for name, domain in conditional.items() if known else ():
        yield from _superfluous(name, domain, known)
        yield from _unreachable(name, domain, known)
        yield from _left_over(name, spec, is_left=name in left)
    yield from _of_another_kind(spec)


def _impossible(name: str, domain: Conditional, space: SearchSpace, spec: SweepSpec) -> Iterator[Mistake]:
    """What is compared with must be a value that the other hyperparameter may have."""
    for place, branch in branches_of(domain):
        for other, values in branch.when.items():
            allowed = space[other]
            default = (spec.default_params.get(other),) if isinstance(allowed, Conditional) else ()
            for value in values:
                if not allowed.contains(value) and value not in default:
                    rule = f"must be a value of {other}, which is in {yaml_text(allowed.to_json())}"
                    remedy = "compare with one of these, or widen the domain"
                    yield Mistake(f"space.{name}{place}.when.{other}", rule, yaml_text(value), remedy)


def _superfluous(name: str, domain: Conditional, known: list[Case]) -> Iterator[Mistake]:
    for place, branch in branches_of(domain):
        for other, values in branch.when.items():
            if all(case[other] in values for case in known):
                remedy = "remove it" if len(branch.when) > 1 else "remove `when`"
                rule = f"must leave out some value that {other} may have"
                yield Mistake(f"space.{name}{place}.when.{other}", rule, yaml_text(list(values)), remedy)


def _unreachable(name: str, domain: Conditional, known: list[Case]) -> Iterator[Mistake]:
    chosen = {domain.chosen(case) for case in known}
    for index, (place, branch) in enumerate(branches_of(domain)):
        if index not in chosen:
            is_covered = any(map(branch.holds, known))
            why = "branches before it hold wherever it does" if is_covered else "its condition never holds"
            rule = f"must be reached by some trial, but {why}"
            yield Mistake(f"space.{name}{place}", rule, yaml_text(branch.to_json()), "remove it")


def _left_over(name: str, spec: SweepSpec, *, is_left: bool) -> Iterator[Mistake]:
    """Where no branch holds there must be a value; where one always does, none."""
    if is_left and name not in spec.default_params:
        rule = "needs a value where no condition of it holds: it has no default"
        yield Mistake(f"space.{name}", rule, "", f"add a branch without `when`, or `fixed: {{{name}: ...}}`")
    elif not is_left and name in spec.fixed:
        rule = f"is never used: a branch of space.{name} always holds"
        yield Mistake(f"fixed.{name}", rule, yaml_text(spec.fixed[name]), "remove it")


def _of_another_kind(spec: SweepSpec) -> Iterator[Mistake]:
    """A builder's own hyperparameter has values of one kind, searched or not."""
    for name in spec.fixed:
        if name in spec.space and name not in KNOBS:
            searched = builder_knob(name, spec.space[name].to_json())
            kinds = {searched.kind if searched else "", getattr(builder_knob(name, [spec.fixed[name]]), "kind", "")}
            if len(kinds) > 1 and kinds != {"integer", "real"}:
                yield Mistake(f"fixed.{name}", VALUES_RULE, f"{yaml_text(spec.fixed[name])} beside space.{name}")


def check_entries(spec: SweepSpec) -> Iterator[Mistake]:
    """Find what is tried first in vain: hyperparameters whose conditions do not hold beside the others."""
    for index, entry in enumerate(spec.enqueue):
        yield from _check_entry(f"enqueue.{index}", entry, spec)


def _check_entry(path: str, entry: Mapping[str, Any], spec: SweepSpec) -> Iterator[Mistake]:
    known: dict[str, Any] = {}
    for name in sampling_order(spec.space):
        domain = spec.space[name]
        if name in entry:
            if isinstance(domain, Conditional):
                yield from _misplaced(f"{path}.{name}", entry[name], domain, known)
            known[name] = entry[name]
        elif has_no_branch(domain, known):
            known[name] = spec.default_params.get(name)


def _misplaced(path: str, value: Any, domain: Conditional, known: Mapping[str, Any]) -> Iterator[Mistake]:
    try:
        index = domain.chosen(known)
    except KeyError as error:
        missing = error.args[0]
        rule = f"needs {missing} beside it: its condition depends on it"
        yield Mistake(path, rule, yaml_text(value), f"give {missing} too")
        return
    if index is None:
        rule = "must not be given where no condition of it holds"
        yield Mistake(path, rule, yaml_text(value), "remove it, or change what it depends on")
    elif domain.contains(value) and not domain.branches[index].domain.contains(value):
        rule = f"must be in its domain {yaml_text(domain.branches[index].to_json())}"
        yield Mistake(path, rule, yaml_text(value), "change the value, or what it depends on")
