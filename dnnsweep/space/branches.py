"""Search spaces as YAML writes them, conditions included: read and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from dnnsweep.errors import Mistake
from dnnsweep.space.builder_knobs import NO_WHEN, builder_knob, is_conditional, raw_branches
from dnnsweep.space.cases import MAX_BRANCHES, MAX_CASES, named_values, prerequisites, sampling_order
from dnnsweep.space.domains import Branch, Choice, Conditional, Range, Searched, branches_of, leaves
from dnnsweep.space.knobs import KNOBS, Knob
from dnnsweep.space.messages import did_you_mean, key_text, yaml_text
from dnnsweep.space.parsing import parse_domain, parse_mapping, parse_value

_SEARCHED: Final = "must name a hyperparameter that is searched"


def parse_space(path: str, raw: Any, taken: Sequence[str] | None = None) -> tuple[dict[str, Searched], list[Mistake]]:
    """Read a mapping of hyperparameters to domains (the section `space`) and check how they depend on each other.

    Args:
        path: YAML path of the mapping.
        raw: The mapping as YAML holds it.
        taken: Names that a builder's own hyperparameters must not have; None if there is no builder.

    Returns:
        The valid domains by name, and every mistake.
    """

    def parse(where: str, knob: Knob, domain: Any) -> tuple[Searched | None, list[Mistake]]:
        return (
            _parse_branches(where, knob, domain, raw) if is_conditional(domain) else parse_domain(where, knob, domain)
        )

    domains, mistakes = parse_mapping(path, raw, parse, taken)
    conflicts = list(_check_size(path, domains)) or [*_check_circles(path, domains), *_check_listed(path, domains)]
    return ({} if conflicts else domains), mistakes + conflicts


def _parse_branches(
    path: str, knob: Knob, raw: Any, space: Mapping[str, Any]
) -> tuple[Conditional | None, list[Mistake]]:
    mistakes: list[Mistake] = []
    branches, raw_list = [], raw_branches(raw)
    for index, (when, bare) in enumerate(raw_list):
        where = f"{path}.{index}" if isinstance(raw, list) else path
        if not isinstance(bare, Mapping):
            rule = "must be a branch, a mapping like the others in its list"
            mistakes.append(Mistake(where, rule, yaml_text(bare), "write {when: ..., values: [...]}"))
            continue
        domain, wrong = parse_domain(where, knob, bare)
        conditions, misplaced = _parse_when(f"{where}.when", knob.name, when, space)
        mistakes += [*wrong, *misplaced]
        if domain is not None:
            branches.append(Branch(domain, MappingProxyType(conditions)))
        if when is NO_WHEN:
            mistakes += _check_has_condition(where, bare, index, len(raw_list))
    return (None if mistakes else Conditional(tuple(branches))), mistakes


def _check_has_condition(path: str, raw: Any, index: int, n_branches: int) -> Iterator[Mistake]:
    """Check a branch without a condition, which holds whenever no other does: it must be the last of several."""
    if n_branches == 1:
        yield Mistake(
            path, "a list of branches needs `when:` in all but the last", yaml_text(raw), "write it without the list"
        )
    elif index < n_branches - 1:
        rule = "must have a condition, or the branches after it are never reached"
        yield Mistake(path, rule, yaml_text(raw), "add `when:`, or put it last")


def _parse_when(
    path: str, name: str, raw: Any, space: Mapping[str, Any]
) -> tuple[dict[str, tuple[Any, ...]], list[Mistake]]:
    if raw is NO_WHEN:
        return {}, []
    if not isinstance(raw, Mapping) or not raw:
        rule = "must be a mapping of other hyperparameters to values"
        return {}, [Mistake(path, rule, yaml_text(raw), "for example when: {optimizer: adam}")]
    conditions: dict[str, tuple[Any, ...]] = {}
    mistakes: list[Mistake] = []
    for other, values in raw.items():
        where = f"{path}.{key_text(other)}"
        if other == name:
            mistakes.append(Mistake(where, "must not depend on itself", "", "name another hyperparameter"))
        elif other not in space:
            remedy = "add it to space" if other in KNOBS else did_you_mean(other, tuple(map(str, space)))
            mistakes.append(
                Mistake(where, _SEARCHED, yaml_text(other), remedy or f"known are {', '.join(map(str, space))}")
            )
        elif (knob := KNOBS.get(other) or builder_knob(other, space[other])) is not None:
            conditions[other], wrong = _parse_values(where, knob, values)
            mistakes += wrong
    return conditions, mistakes


def _parse_values(path: str, knob: Knob, raw: Any) -> tuple[tuple[Any, ...], list[Mistake]]:
    if knob.kind == "widths":
        rule = "cannot be a condition, as layers have no values to compare with"
        return (), [Mistake(path, rule, yaml_text(raw), "name another hyperparameter")]
    if not isinstance(raw, list):
        value, wrong = parse_value(path, knob, raw)
        return (value,), wrong
    parsed = [parse_value(f"{path}.{index}", knob, item) for index, item in enumerate(raw)]
    values, mistakes = tuple(value for value, _ in parsed), [mistake for _, wrong in parsed for mistake in wrong]
    if not raw:
        mistakes = [Mistake(path, "must be a value or a list of values", yaml_text(raw), "name one")]
    elif not mistakes and len(set(values)) < len(values):
        mistakes = [Mistake(path, "values must differ from each other", yaml_text(raw), "remove the repeated ones")]
    return values, mistakes


def _check_size(path: str, space: Mapping[str, Searched]) -> Iterator[Mistake]:
    n_branches = sum(len(domain.branches) for domain in space.values() if isinstance(domain, Conditional))
    if n_branches > MAX_BRANCHES:
        yield Mistake(path, f"must have at most {MAX_BRANCHES} branches", f"{n_branches}", "remove some of them")
    n_cases = math.prod(len(values) + 1 for values in named_values(space).values())
    if n_cases > MAX_CASES:
        rule = f"conditions must distinguish at most {MAX_CASES} cases"
        yield Mistake(path, rule, f"{n_cases}", "name fewer values after `when`")


def _check_circles(path: str, space: Mapping[str, Searched]) -> Iterator[Mistake]:
    """Report each circle of conditions once, but not the hyperparameters that merely depend on one."""
    complete = {name: domain for name, domain in space.items() if prerequisites(domain) <= space.keys()}
    unordered = [name for name in complete if name not in sampling_order(complete)]
    seen: set[str] = set()
    for name in unordered:
        chain = [name]
        while (needed := next(filter(prerequisites(complete[chain[-1]]).__contains__, unordered))) not in chain:
            chain.append(needed)
        circle = chain[chain.index(needed) :]
        if seen.isdisjoint(circle):
            seen |= {*circle}
            got = " needs ".join([*circle, circle[0]])
            yield Mistake(f"{path}.{circle[0]}", "conditions must not go in circles", got, "remove one of them")


def _check_listed(path: str, space: Mapping[str, Searched]) -> Iterator[Mistake]:
    """Check that whatever a condition compares with has values that can be listed."""
    for name, domain in space.items():
        for suffix, branch in branches_of(domain):
            for other in branch.when:
                if other in space and not all(_is_listed(leaf) for _, leaf in leaves(space[other])):
                    rule, got = "must depend on listed values or whole numbers", yaml_text(space[other].to_json())
                    yield Mistake(f"{path}.{name}{suffix}.when.{other}", rule, got, "list its values")


def _is_listed(domain: object) -> bool:
    return isinstance(domain, Choice) or (isinstance(domain, Range) and domain.is_integer)


def branch_texts(raw: Any) -> list[str]:
    """Describe a domain as YAML holds it, one text for each branch.

    Example:
        >>> branch_texts([{"when": {"optimizer": ["sgd", "adam"]}, "low": 0, "high": 1}, {"values": [2]}])
        ["{low: 0, high: 1} when optimizer is 'sgd' or 'adam'", '{values: [2]} otherwise']
    """
    return [yaml_text(bare) + _when_text(when, is_conditional=is_conditional(raw)) for when, bare in raw_branches(raw)]


def _when_text(when: Any, *, is_conditional: bool) -> str:
    if when is NO_WHEN:
        return " otherwise" if is_conditional else ""
    return " when " + " and ".join(f"{name} is {' or '.join(map(yaml_text, values))}" for name, values in when.items())
