"""What a person is told: an answer in at most twelve lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dnnsweep.answers.answer import CONFIRMED, Answer, Plain
from dnnsweep.answers.number_texts import change_text, setting_text, signed_interval_text, with_interval

MAX_LINES: Final = 12
#: Findings beyond these are in the JSON and in the report.
MAX_FINDINGS: Final = 2
#: The same for hyperparameters in isolation.
MAX_ISOLATED: Final = 2
#: Names that are listed in one line.
MAX_NAMES: Final = 5


def sentences(answer: Answer) -> list[str]:
    """Return the lines that a run ends with, the most important first.

    Args:
        answer: The answer; its own sentences are not looked at.
    """
    first = [*_against_baseline(answer), *_winner(answer), *_rivals(answer), *_expectation(answer)]
    findings = _findings(answer)[:MAX_FINDINGS]
    last = [*_isolated(answer)[:MAX_ISOLATED], *findings, *_left_out(answer), *_next(answer)]
    return [*first, *_effects(answer, MAX_LINES - len(first) - len(last)), *last][:MAX_LINES]


# ---- the winner


def _against_baseline(answer: Answer) -> Iterator[str]:
    if answer.is_better_than_baseline is not False or answer.winner is None or answer.baseline is None:
        return
    if answer.winner["label"] == answer.baseline["label"]:
        yield "No better than the baseline: the baseline itself leads."
        return
    share = with_interval("accuracy", answer.p_better_than_baseline, answer.p_better_than_baseline_interval)
    first = f"No better than the baseline, as far as {_counted(answer.baseline['n'], 'block')} can tell"
    yield f"{first}: {_name(answer.winner)} is better in {share} of them."


def _winner(answer: Answer) -> Iterator[str]:
    winner = answer.winner
    if winner is None:
        n_candidates = len(answer.candidates)
        why = f"all repeats of {_counted(n_candidates, 'candidate')} failed" if n_candidates else "no trial has a value"
        yield f"There is no winner, because {why}."
        return
    name, value = _capitalized(_name(winner)), with_interval(answer.metric, winner["mean"], winner["interval"])
    if answer.kind != CONFIRMED:
        yield f"{name} is the best of {_counted(answer.n_trials, 'trial')}: {answer.metric} {value}."
        yield "It was not repeated. The best of many is partly the luckiest one, so expect less."
        return
    verb = "leads" if answer.tied or answer.is_better_than_baseline is False else "wins"
    lost = f" of which {winner['n_diverged']} failed" if winner["n_diverged"] else ""
    mean = f"the mean of {_counted(winner['n'], 'repeat')}{lost}"
    rank = f"; it is the best of {len(answer.candidates)} in {100 * (answer.p_best or 0):.0f} % of resamples"
    yield f"{name} {verb}: {answer.metric} {value}, {mean}{rank if len(answer.candidates) > 1 else ''}."


def _rivals(answer: Answer) -> Iterator[str]:
    baseline = answer.baseline
    if answer.is_better_than_baseline and baseline is not None:
        share = with_interval("accuracy", answer.p_better_than_baseline, answer.p_better_than_baseline_interval)
        value = with_interval(answer.metric, baseline["mean"], baseline["interval"])
        yield f"It is better than the baseline in {share} of blocks; the baseline has {answer.metric} {value}."
    if answer.tied:
        noun = "trial" if len(answer.tied) == 1 else "trials"
        yield f"It is tied with {noun} {_listed(list(map(str, answer.tied)))}: the difference is too small to matter."


# ---- the score to expect


def _expectation(answer: Answer) -> Iterator[str]:
    test = answer.test
    if test is None:
        return
    if test["score"] is None:
        yield f"There is no score to expect: it could not be computed from {_counted(test['n_rows'], 'test row')}."
        return
    recipe = with_interval(test["metric"], test["score"], test["this_recipe"])
    model = with_interval(test["metric"], test.get("model_score"), test["this_model"])
    lost = f"; {test['n_diverged']} of {test['n_diverged'] + test['n_models']} networks diverged"
    rows = f", measured on {_counted(test['n_rows'], 'test row')}{lost if test['n_diverged'] else ''}"
    retrained, winner = answer.retrained or {}, answer.winner or {}
    if retrained.get("is_chosen") and retrained["params"] != winner.get("params"):
        yield f"What follows is about trial {retrained['trial']}, which was retrained in place of the winner."
    yield f"Expect {test['metric']} {recipe} from this recipe and {model} from this model{rows}.{_beside(test)}"
    if test["n_opened"] > 1:
        yield f"These test rows were opened {test['n_opened']} times, so the score may be too good."


def _beside(test: Plain) -> str:
    others = [
        f"{one['metric']} {with_interval(one['metric'], one['score'], one['this_recipe'])}" for one in test["beside"]
    ]
    return f" Beside it: {_listed(others)}." if others else ""


# ---- effects


def _effects(answer: Answer, n_lines: int) -> list[str]:
    if len(answer.effects) <= n_lines:
        return [_effect(answer, effect) for effect in answer.effects]
    shown, others = answer.effects[: max(n_lines - 1, 0)], answer.effects[max(n_lines - 1, 0) :]
    kind = "smaller ones" if any(effect["is_seen"] for effect in others) else "without an effect seen"
    names = [_words(effect["name"]) for effect in others]
    named = names if len(names) <= MAX_NAMES else [*names[: MAX_NAMES - 1], f"{len(names) - MAX_NAMES + 1} others"]
    return [*(_effect(answer, effect) for effect in shown), f"{len(others)} {kind}: {_listed(named)}"][
        : max(n_lines, 0)
    ]


def _effect(answer: Answer, effect: Plain) -> str:
    text = f"{_words(effect['name'])}: {effect_text(answer, effect)}"
    values = f", {_settings(effect['to'])} instead of {_settings(effect['from'])}"
    return text + (values if effect["is_seen"] else "")


def effect_text(answer: Answer, effect: Plain) -> str:
    """Return how an effect changes the metric itself: a loss that improves becomes smaller.

    Args:
        answer: The answer that the effect belongs to.
        effect: An effect of the answer.
    """
    interval = effect["simultaneous"]
    change, ends = effect["effect"], interval
    if answer.direction == "minimize":
        change, ends = -change, None if interval is None else [-interval[1], -interval[0]]
    if not effect["is_seen"]:
        return f"no effect seen ({signed_interval_text(answer.metric, ends)})"
    return change_text(answer.metric, change, ends)


def _isolated(answer: Answer) -> list[str]:
    by_name: dict[str, list[Plain]] = {}
    for one in answer.isolated:
        by_name.setdefault(one["name"], []).append(one)
    return [_isolation(answer, name, values) for name, values in by_name.items()]


def _isolation(answer: Answer, name: str, values: Sequence[Plain]) -> str:
    settings = [_settings(one["value"]) for one in values]
    scores = [with_interval(answer.metric, one["mean"], one["interval"]) for one in values]
    texts = [f"{setting} {score}" for setting, score in zip(settings, scores, strict=True)]
    told = f"{_words(name)}, each value with its own best learning rate: {_listed(texts)}"
    if len(values) < 2:
        return told
    share = with_interval("accuracy", values[1]["p_first_is_better"], values[1]["p_first_is_better_interval"])
    return f"{told}; {settings[0]} is better than {settings[1]} in {share} of blocks"


# ---- findings


def _findings(answer: Answer) -> list[str]:
    """Return a line for each code, that of the winner first."""
    winner = None if answer.winner is None else answer.winner["number"]
    by_code: dict[str, list[Plain]] = {}
    for finding in sorted(answer.findings, key=lambda one: one["number"] != winner):
        by_code.setdefault(finding["code"], []).append(finding)
    return [_finding(answer, found) for found in by_code.values()]


def _finding(answer: Answer, found: Sequence[Plain]) -> str:
    one = found[0]
    where = f" in {one['layer']}" if one.get("layer") else ""
    told = one.get("sentence") or f"Trial {one['number']}: {_words(one['code'])}{where} from epoch {one['epoch']} on."
    n_others = len({finding["number"] for finding in found} - {one["number"]})
    others = f" So it is in {_counted(n_others, 'other trial')}." if n_others else ""
    return f"{told.rstrip('.')}.{others}{_cures(answer, one)}"


def _cures(answer: Answer, finding: Plain) -> str:
    """Say what the tried changes did, else what may help."""
    tried = [_cure(answer, cure) for cure in finding.get("cures", ())]
    if tried:
        return "".join(f" {text}." for text in tried)
    advice = finding.get("advice") or ()
    if isinstance(advice, str):
        return f" {advice}"
    changes = [_change(change) for change in advice]
    return f" Try {' or '.join(changes)}." if changes else ""


def _cure(answer: Answer, cure: Plain) -> str:
    effect, ends = cure["effect"], cure["interval"]
    if effect is not None and answer.direction == "minimize":
        effect, ends = -effect, None if ends is None else [-ends[1], -ends[0]]
    verb = "cures it" if cure["is_cure"] else "was tried and did not help"
    lost = cure["n_diverged_before"] > 0
    before, n_blocks = cure["n_diverged_before"], _counted(cure["n_blocks"], "block")
    how = f"it failed in {cure['n_diverged_after']} instead of {before} of {n_blocks}" if lost else ""
    gain = "" if effect is None else change_text(answer.metric, effect, ends)
    return f"{_capitalized(_change(cure['change']))} {verb}: {how or gain}"


def _change(change: Mapping[str, Any]) -> str:
    return " and ".join(f"{_words(name)} {setting_text(value)}" for name, value in change.items())


# ---- what is left


def _left_out(answer: Answer) -> Iterator[str]:
    if answer.skipped:
        yield f"Not in this answer: {'; '.join(f'{what}, because {why}' for what, why in answer.skipped.items())}."


def _next(answer: Answer) -> Iterator[str]:
    commands = list(_commands(answer))[:2]
    if commands:
        yield "Next: " + "; ".join(f"`dnnsweep {command}` {what}" for command, what in commands)


def _commands(answer: Answer) -> Iterator[tuple[str, str]]:
    winner, name = answer.winner, answer.sweep
    if winner is None:
        yield f"trials {name}", "lists how trials ended"
        return
    if answer.kind != CONFIRMED:
        yield f"confirm {name}", "repeats the best trials to tell luck from merit"
    elif answer.test is None and winner["number"] is not None:
        yield f"retrain {name} --trial {winner['number']}", "measures the score to expect"
    if answer.kind == CONFIRMED and answer.effects_summary is None and answer.baseline not in (None, winner):
        yield f"effects {name}", "measures which hyperparameters made the difference"
    yield f"report {name} -o report.html", "draws it"


# ---- words


def _name(candidate: Plain) -> str:
    label = str(candidate["label"])
    return f"the {label}" if label.startswith("baseline") else label


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _listed(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _settings(values: Any) -> str:
    if isinstance(values, Mapping):
        return _listed([setting_text(value) for value in values.values()])
    return setting_text(values)
