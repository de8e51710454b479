"""Rules for the conditions of a search space, and for the values that they concern."""

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
    impossible = [
        mistake for name, domain in conditional.items() for mistake in _check_possible(name, domain, space, spec)
    ]
    yield from impossible
    all_cases = [] if impossible or not conditional else cases(space, spec.default_params)
    absent = sometimes_absent(space, spec.default_params) if all_cases else ()
    for name, domain in conditional.items() if all_cases else ():
        yield from _check_not_superfluous(name, domain, all_cases)
        yield from _check_reachable(name, domain, all_cases)
        yield from _check_default(name, spec, is_sometimes_absent=name in absent)
    yield from _check_kinds(spec)


def _check_possible(name: str, domain: Conditional, space: SearchSpace, spec: SweepSpec) -> Iterator[Mistake]:
    """Check that conditions compare with values that the other hyperparameter may have."""
    for suffix, branch in branches_of(domain):
        for other, values in branch.when.items():
            allowed = space[other]
            default = (spec.default_params.get(other),) if isinstance(allowed, Conditional) else ()
            for value in values:
                if not allowed.contains(value) and value not in default:
                    rule = f"must be a value of {other}, which is in {yaml_text(allowed.to_json())}"
                    remedy = "compare with one of these, or widen the domain"
                    yield Mistake(f"space.{name}{suffix}.when.{other}", rule, yaml_text(value), remedy)


def _check_not_superfluous(name: str, domain: Conditional, all_cases: list[Case]) -> Iterator[Mistake]:
    for suffix, branch in branches_of(domain):
        for other, values in branch.when.items():
            if all(case[other] in values for case in all_cases):
                remedy = "remove it" if len(branch.when) > 1 else "remove `when`"
                rule = f"must leave out some value that {other} may have"
                yield Mistake(f"space.{name}{suffix}.when.{other}", rule, yaml_text(list(values)), remedy)


def _check_reachable(name: str, domain: Conditional, all_cases: list[Case]) -> Iterator[Mistake]:
    chosen = {domain.chosen(case) for case in all_cases}
    for index, (suffix, branch) in enumerate(branches_of(domain)):
        if index not in chosen:
            is_covered = any(map(branch.holds, all_cases))
            why = "earlier branches hold whenever it does" if is_covered else "its condition never holds"
            rule = f"must be reached by some trial, but {why}"
            yield Mistake(f"space.{name}{suffix}", rule, yaml_text(branch.to_json()), "remove it")


def _check_default(name: str, spec: SweepSpec, *, is_sometimes_absent: bool) -> Iterator[Mistake]:
    """Check that there is a fixed value or default if no branch may hold, and no fixed value if one always does."""
    if is_sometimes_absent and name not in spec.default_params:
        rule = "needs a value for when none of its conditions holds, as it has no default"
        yield Mistake(f"space.{name}", rule, "", f"add a branch without `when`, or `fixed: {{{name}: ...}}`")
    elif not is_sometimes_absent and name in spec.fixed:
        rule = f"is never used: a branch of space.{name} always holds"
        yield Mistake(f"fixed.{name}", rule, yaml_text(spec.fixed[name]), "remove it")


def _check_kinds(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that a builder's own hyperparameter has values of one kind, searched or fixed."""
    for name in spec.fixed:
        if name in spec.space and name not in KNOBS:
            searched = builder_knob(name, spec.space[name].to_json())
            kinds = {searched.kind if searched else "", getattr(builder_knob(name, [spec.fixed[name]]), "kind", "")}
            if len(kinds) > 1 and kinds != {"integer", "real"}:
                yield Mistake(f"fixed.{name}", VALUES_RULE, f"{yaml_text(spec.fixed[name])} beside space.{name}")


def check_entries(spec: SweepSpec) -> Iterator[Mistake]:
    """Find hyperparameters in configurations to try first whose conditions do not hold there."""
    for index, entry in enumerate(spec.enqueue):
        yield from _check_entry(f"enqueue.{index}", entry, spec)


def _check_entry(path: str, entry: Mapping[str, Any], spec: SweepSpec) -> Iterator[Mistake]:
    values: dict[str, Any] = {}
    for name in sampling_order(spec.space):
        domain = spec.space[name]
        if name in entry:
            if isinstance(domain, Conditional):
                yield from _check_value(f"{path}.{name}", entry[name], domain, values)
            values[name] = entry[name]
        elif has_no_branch(domain, values):
            values[name] = spec.default_params.get(name)


def _check_value(path: str, value: Any, domain: Conditional, others: Mapping[str, Any]) -> Iterator[Mistake]:
    try:
        index = domain.chosen(others)
    except KeyError as error:
        missing = error.args[0]
        rule = f"needs {missing} beside it, as its condition depends on that"
        yield Mistake(path, rule, yaml_text(value), f"give {missing} too")
        return
    if index is None:
        rule = "must not be given here, as none of its conditions holds"
        yield Mistake(path, rule, yaml_text(value), "remove it, or change what it depends on")
    elif domain.contains(value) and not domain.branches[index].domain.contains(value):
        rule = f"must be in its domain {yaml_text(domain.branches[index].to_json())}"
        yield Mistake(path, rule, yaml_text(value), "change the value, or what it depends on")
