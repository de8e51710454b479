"""Which findings an answer tells, and what is tried against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from recorded import ACCURACY, repeat, trial

from dnnsweep.ledger import RepeatLease
from dnnsweep.records import Candidate, Finding, FindingCode, Purpose, Repeat, Trial
from dnnsweep.runner.tried_cures import findings_to_tell, plan_cures, told_findings

VANISHING = FindingCode.VANISHING_GRADIENT
OVERFITTING = FindingCode.OVERFITTING
ADVICE = ({"batch_norm": True}, {"activation": "relu"}, {"hidden": (8,)})


@dataclass
class Repeats:
    """What a lease knows of candidates and repeats."""

    candidates: list[Candidate] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)

    def add(self, candidates: Sequence[Candidate]) -> None:
        self.candidates += candidates


def lease_of(repeats: Repeats) -> RepeatLease:
    return cast("RepeatLease", repeats)


def ill(number: int, *codes: FindingCode, advice: tuple[dict[str, Any], ...] = ADVICE) -> Trial:
    found = tuple(Finding(code, number, None, 1, 0.5, 0.1, "It is ill.", advice) for code in codes)
    return replace(trial(number, 0.5), findings=found)


def test_findings_of_winner_and_baseline_come_first_and_then_frequent_ones() -> None:
    trials = [ill(0, VANISHING), *(ill(number) for number in range(1, 17)), ill(17, OVERFITTING)]
    trials += [ill(18, FindingCode.DIVERGED), ill(19, FindingCode.DIVERGED)]

    told = findings_to_tell(trials, first=[17, 0, None])

    assert [(one.number, one.code) for one in told] == [
        (17, OVERFITTING),
        (0, VANISHING),
        (18, FindingCode.DIVERGED),
        (19, FindingCode.DIVERGED),
    ]


def test_a_rare_finding_of_another_trial_is_not_told() -> None:
    trials = [ill(0), *(ill(number) for number in range(1, 20)), ill(20, VANISHING)]

    assert findings_to_tell(trials, first=[0]) == []


def test_two_changes_are_tried_against_each_of_two_findings_in_the_blocks_that_always_run() -> None:
    trials, repeats = [ill(0, VANISHING, OVERFITTING, FindingCode.DIVERGED), ill(1, VANISHING)], Repeats()

    tried = plan_cures(lease_of(repeats), findings_to_tell(trials, first=[0, 1]), trials)

    assert [(cure.finding.number, cure.finding.code, cure.change) for cure in tried] == [
        (0, VANISHING, ADVICE[0]),
        (0, VANISHING, ADVICE[1]),
        (0, OVERFITTING, ADVICE[0]),
        (0, OVERFITTING, ADVICE[1]),
    ]
    assert [candidate.label for candidate in repeats.candidates] == [
        "trial 0",
        "trial 0 with batch_norm true",
        "trial 0 with activation relu",
    ]
    assert {candidate.purpose for candidate in repeats.candidates} == {Purpose.CURE}
    assert [(one.candidate, one.block) for one in tried[0].repeats(seed=7)] == [
        (candidate, block) for block in range(3) for candidate in (0, 1)
    ]


def test_nothing_is_tried_without_advice_or_against_what_says_little() -> None:
    trials = [ill(0, VANISHING, advice=()), ill(1, FindingCode.STOPPED_TOO_EARLY)]
    repeats = Repeats()

    assert plan_cures(lease_of(repeats), findings_to_tell(trials, first=[0, 1]), trials) == []
    assert repeats.candidates == []


def test_an_answer_says_what_a_change_did() -> None:
    trials, repeats = [ill(0, VANISHING, advice=ADVICE[:1])], Repeats()
    findings = findings_to_tell(trials, first=[0])
    tried = plan_cures(lease_of(repeats), findings, trials)
    assert "cures" not in told_findings(findings, tried, lease_of(repeats), ACCURACY)[0]

    repeats.repeats += [repeat(0, block, 0.1) for block in range(3)]
    repeats.repeats += [repeat(1, block, 0.9 + block / 100) for block in range(3)]

    [told] = told_findings(findings, tried, lease_of(repeats), ACCURACY)
    [cure] = told["cures"]
    assert cure["change"] == {"batch_norm": True}
    assert cure["is_cure"]
    assert round(cure["effect"], 2) == 0.81
