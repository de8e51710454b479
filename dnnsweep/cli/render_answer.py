"""The answer of a sweep for people and programs: sentences and tables, or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dnnsweep.cli.formats import format_setting, print_json
from dnnsweep.cli.screen_tables import Column, print_table
from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import escape_controls

if TYPE_CHECKING:
    from dnnsweep.answers.answer import Answer

_DESCRIPTION: Final = (
    "importance: share in what makes the best trials differ from all others (PED-ANOVA); "
    "it describes the trials of the search, and is no effect"
)


def print_answer(answer: Answer, *, as_json: bool) -> None:
    """Print an answer: its sentences, a line each.

    Args:
        answer: The answer.
        as_json: Whether to print JSON.
    """
    if as_json:
        print_json(answer.to_json())
    else:
        sys.stdout.write(escape_controls("\n".join(answer.sentences)) + "\n")


def print_effects(answer: Answer, importances: Mapping[str, float], *, as_json: bool) -> None:
    """Print what each hyperparameter adds between baseline and winner, beside how important it was in the search.

    Args:
        answer: An answer.
        importances: Hyperparameter -> its share, as `client.importances` returns them.
        as_json: Whether to print JSON.
    """
    if as_json:
        summary = answer.effects_summary
        print_json({"effects": list(answer.effects), "effects_summary": summary, "importance": dict(importances)})
        return
    rows = [*_effect_rows(answer, importances), *_other_rows(answer, importances)]
    names = ("hyperparameter", "from", "to", "effect", "importance")
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    print_table([Column(name, [*column]) for name, column in zip(names, cells, strict=True)])
    if not answer.effects:
        say("there is no effect to show: baseline and winner are the same, or their comparison has not ended")
    say(_DESCRIPTION)


def print_isolated(answer: Answer, name: str, *, as_json: bool) -> None:
    """Print how the values of a hyperparameter compare, each with its own best learning rate and optimizer.

    Args:
        answer: An answer.
        name: The hyperparameter.
        as_json: Whether to print JSON.
    """
    from dnnsweep.answers.number_texts import with_interval

    found = [one for one in answer.isolated if one["name"] == name]
    if as_json:
        print_json(found)
        return
    steps = [step for step in ("optimizer", "learning_rate") if step != name]
    columns = [
        Column(name, [_text(one["value"]) for one in found]),
        *(Column(step, [_text(one["params"].get(step)) for one in found]) for step in steps),
        Column(answer.metric, [with_interval(answer.metric, one["mean"], one["interval"]) for one in found]),
        Column("repeats", [str(one["n"]) for one in found], is_numeric=True),
        Column("best in", [_percent(one["p_best"]) for one in found], is_numeric=True),
    ]
    print_table(columns)
    why = answer.skipped.get(f"{name} in isolation", "their comparison has not ended")
    say("best in: share of resampled blocks in which it has the best mean" if found else f"nothing to compare: {why}")


def _effect_rows(answer: Answer, shares: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    from dnnsweep.answers.sentences import effect_text

    for effect in answer.effects:
        share = sum(shares.get(name, 0.0) for name in effect["name"].split(", "))
        yield effect["name"], _text(effect["from"]), _text(effect["to"]), effect_text(answer, effect), _percent(share)


def _other_rows(answer: Answer, shares: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the hyperparameters that were searched, but are not among the effects."""
    compared = {name for effect in answer.effects for name in effect["name"].split(", ")}
    params: Mapping[str, Any] = (answer.winner or {}).get("params", {})
    for name, share in shares.items():
        if name not in compared:
            own = _text(params.get(name))
            yield name, own, own, "same in both" if answer.effects else "-", _percent(share)


def _text(values: Any) -> str:
    settings: Sequence[Any] = list(values.values()) if isinstance(values, Mapping) else [values]
    return ", ".join("-" if setting is None else format_setting(setting) for setting in settings)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
