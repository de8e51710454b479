"""Which findings an answer tells, and which of the advised changes are tried against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.answers.changes import measure_change
from dnnsweep.answers.number_texts import setting_text
from dnnsweep.ledger import RepeatLease
from dnnsweep.records import Finding, FindingCode, Objective, Purpose, Trial, to_plain
from dnnsweep.runner.candidates import repeat_in_block, take_candidates
from dnnsweep.runner.repeat_order import PlannedRepeat
from dnnsweep.statistics.race import MIN_BLOCKS

#: The most findings whose cures are tried, and the most changes that are tried against each.
MAX_FINDINGS: Final = 2
MAX_CHANGES: Final = 2
#: The most findings that an answer lists.
MAX_LISTED: Final = 50
#: A finding is frequent if it is in this share of the trials.
FREQUENT: Final = 0.1
#: What says little about a network, so that nothing is tried against it.
_MINOR: Final = (FindingCode.UPDATE_RATIO, FindingCode.STOPPED_TOO_EARLY)


def findings_to_tell(trials: Sequence[Trial], first: Iterable[int | None]) -> list[Finding]:
    """Return the findings that an answer lists: those of some trials, then each that is frequent.

    Args:
        trials: All trials of the sweep.
        first: Numbers of the trials whose findings come first, those of the winner and of the baseline.
    """
    by_number = {trial.number: trial for trial in trials}
    named = [by_number[number] for number in dict.fromkeys(first) if number in by_number]
    found = [finding for trial in named for finding in trial.findings]
    others = [finding for trial in trials if trial not in named for finding in trial.findings]
    frequent = _frequent(others, len(trials))
    return [*found, *(finding for finding in others if finding.code in frequent)][:MAX_LISTED]


def _frequent(found: Iterable[Finding], n_trials: int) -> Collection[FindingCode]:
    counts = Counter(code for code, _ in {(finding.code, finding.number) for finding in found})
    return {code for code, n in counts.items() if n >= max(2, FREQUENT * n_trials)}


@dataclass(frozen=True, slots=True)
class TriedCure:
    """A change that is tried against a finding.

    Args:
        finding: The finding.
        change: Hyperparameter -> its other value.
        before: Number of the candidate without the change.
        after: Number of the candidate with it.
    """

    finding: Finding
    change: Mapping[str, Any]
    before: int
    after: int

    def repeats(self, seed: int) -> Iterator[PlannedRepeat]:
        """Yield the repeats that tell what it does, in the blocks that always run.

        Args:
            seed: Seed of the sweep.
        """
        for block in range(MIN_BLOCKS):
            yield from (repeat_in_block(seed, candidate, block) for candidate in (self.before, self.after))


def plan_cures(lease: RepeatLease, findings: Sequence[Finding], trials: Sequence[Trial]) -> list[TriedCure]:
    """Return what is tried against the first findings that have advice, one for each code; candidates are stored.

    Args:
        lease: The repeats of the sweep.
        findings: What the answer lists.
        trials: All trials of the sweep.
    """
    by_number = {trial.number: trial for trial in trials}
    has_advice = [finding for finding in findings if finding.code not in _MINOR and finding.advice]
    serious: dict[FindingCode, Finding] = {finding.code: finding for finding in reversed(has_advice)}
    chosen = [finding for finding in has_advice if serious.get(finding.code) is finding][:MAX_FINDINGS]
    tried = []
    for finding in chosen:
        params, label = by_number[finding.number].params, f"trial {finding.number}"
        for change in finding.advice[:MAX_CHANGES]:
            changed = f"{label} with {', '.join(f'{name} {setting_text(value)}' for name, value in change.items())}"
            configurations = [(label, params, finding.number), (changed, {**params, **change}, None)]
            before, after = take_candidates(lease, Purpose.CURE, configurations)
            tried.append(TriedCure(finding, change, before.number, after.number))
    return tried


def told_findings(
    findings: Sequence[Finding], tried: Sequence[TriedCure], lease: RepeatLease, objective: Objective
) -> list[dict[str, Any]]:
    """Return findings as an answer lists them, with what the changes did that were tried.

    Args:
        findings: What the answer lists.
        tried: What was tried.
        lease: The repeats of the sweep.
        objective: What the sweep improves.
    """
    told = []
    for finding in findings:
        plain = finding.to_json()
        measured = [
            (cure.change, measure_change(cure.before, cure.after, lease.repeats, objective))
            for cure in tried
            if cure.finding is finding
        ]
        cures = [result.to_json(to_plain(change)) for change, result in measured if result is not None]
        told.append({**plain, "cures": cures} if cures else plain)
    return told
