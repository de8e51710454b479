"""Diagnoses: what is wrong with a training, told from its curves alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from dnnsweep.diagnoses import layer_rules, loss_rules
from dnnsweep.diagnoses.evidence import Evidence
from dnnsweep.records import Reason, Task, TrialResult
from dnnsweep.records.findings import Finding, FindingCode

__all__ = ["Evidence", "constant_loss", "diagnose", "diagnose_result"]

_RULES: Final = (
    loss_rules.diverged,
    layer_rules.exploding_gradient,
    layer_rules.vanishing_gradient,
    layer_rules.idle_units,
    layer_rules.poor_initialization,
    layer_rules.update_ratio,
    loss_rules.unstable,
    loss_rules.overfitting,
    loss_rules.underfitting,
    loss_rules.stopped_too_early,
)
#: Reasons of a training that was ended from outside, or by an error: it tells nothing about the network.
_CUT_SHORT: Final = (Reason.FAILED, Reason.TIMEOUT, Reason.KILLED, Reason.STOPPED)
#: What explains that a network learned nothing, which is no finding of its own then.
_CAUSES: Final = frozenset(FindingCode) - {
    FindingCode.UPDATE_RATIO,
    FindingCode.UNSTABLE,
    FindingCode.OVERFITTING,
    FindingCode.STOPPED_TOO_EARLY,
}


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what is wrong with a training; nothing if it was cut short.

    The same training gives the same findings, whatever other trials its sweep has.

    Args:
        evidence: The training.
    """
    if evidence.reason in _CUT_SHORT:
        return ()
    found = tuple(chain.from_iterable(rule(evidence) for rule in _RULES))
    if not any(finding.code in _CAUSES for finding in found):
        found = (*found, *loss_rules.no_skill(evidence))
    return tuple(replace(one, sentence=f"Trial {one.number}: {one.sentence}") for one in found)


def diagnose_result(result: TrialResult, params: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what is wrong with the training of a trial that has ended.

    Args:
        result: How it ended.
        params: Hyperparameters of the trial.
        data: Summary of the sweep's data as plain JSON; empty for no diagnoses.
    """
    if not data:
        return ()
    n_classes = len(data.get("classes", ()))
    n_outputs = n_classes if n_classes > 2 else 1
    return diagnose(Evidence(result.number, params, result.reason, result.curve, constant_loss(data), n_outputs))


def constant_loss(data: Mapping[str, Any]) -> float:
    """Return the loss of the best constant answer to the training rows.

    Args:
        data: Summary of the data as plain JSON. That of a sweep of an earlier version does not hold this loss; then
            classes count as equally frequent.

    Example:
        >>> constant_loss({"task": "regression"}), constant_loss({"task": "binary", "classes": ["no", "yes"]})
        (1.0, 0.6931471805599453)
    """
    stored = data.get("constant_loss")
    if stored:
        return float(stored)
    return 1.0 if data.get("task", Task.REGRESSION) == Task.REGRESSION else math.log(len(data["classes"]))
