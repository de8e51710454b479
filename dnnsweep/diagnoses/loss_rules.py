"""Rules that look at losses alone. Losses are shares of the loss of a constant answer, so that one scale fits all data.

References:
    Zhang, Zhai, Ma & Shen, AUTOTRAINER: an automatic DNN training problem detection and repair system, ICSE 2021:
        losses that oscillate, and such that converge slowly.
    Prechelt, Early stopping - but when?, 1998: the rise of the validation loss over its smallest value so far.
    Amazon SageMaker Debugger, list of built-in rules: overfitting, loss not decreasing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any, Final

from dnnsweep.diagnoses.cures import cures_for
from dnnsweep.diagnoses.evidence import POOR_SKILL, Evidence, decline, window
from dnnsweep.records import Reason
from dnnsweep.records.findings import Finding, FindingCode

#: A trend of the losses needs so many epochs.
MIN_EPOCHS: Final = 5
#: Rise of the validation loss over its smallest value, as a share of that value.
RISE: Final = 0.1
#: The least of such a rise, and the least distance to the training loss in the end, as a share of the latter.
LEAST_RISE: Final = 0.03
GAP: Final = 1.0
#: Losses that are closer together than this agree.
CLOSE: Final = 0.2
#: A network with less skill than this has learned next to nothing.
NO_SKILL: Final = 0.15
#: A loss that falls by less than this from one fifth of the epochs to the next is flat; by more than that, it falls.
FLAT: Final = 0.01
FALLING: Final = 0.03
#: A loss that still falls does so by this share of itself at least.
FALLING_SHARE: Final = 0.1
#: Change of a loss in an epoch that is a swing, its least share of the loss, and the share of epochs that are too many.
SWING: Final = 0.03
LEAST_SWING: Final = 0.1
SWING_SHARE: Final = 0.2
#: A validation loss that is lower than this in the end may go up and down: it does so about a good score.
GOOD_LOSS: Final = 0.15
#: From here on dropout, and an L2 term as a share of the loss, may keep a network from learning.
STRONG_DROPOUT: Final = 0.5
STRONG_L2: Final = 0.3


def overfitting(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the validation loss has turned while the training loss still fell, and is far above it in the end."""
    train, validation = evidence.losses
    if len(validation) < MIN_EPOCHS or not evidence.is_whole or evidence.is_poor:
        return
    size = min(3, window(len(validation)))  # a single epoch may be off by chance
    best = min(range(len(validation)), key=validation.__getitem__)
    end, train_end = median(validation[-size:]), median(train[-size:])
    rise = end - validation[best]
    has_turned = rise > max(RISE * validation[best], LEAST_RISE) and train_end < 0.95 * train[best]
    if has_turned and end - train_end > GAP * train_end:
        text = f"It overfits: after epoch {best + 1} the validation loss rose by {{share}} of its smallest value, "
        text += f"while the training loss fell by {1 - train_end / train[best]:.0%}"
        yield _finding(evidence, FindingCode.OVERFITTING, best + 1, rise / max(validation[best], 1e-9), RISE, text)


def underfitting(evidence: Evidence) -> Iterator[Finding]:
    """Yield that a network learned little and is visibly held back, and that its losses are flat and close together.

    What holds it back is a layer with fewer units than there are outputs, dropout, or an L2 term that is large beside
    the loss of the data. Without such a cause, a little skill may be all that noisy data allow.
    """
    cause = _restraint(evidence)
    if cause is not None and _has_settled(evidence, POOR_SKILL):
        what, remedy = cause
        finding = _underfitting(evidence, POOR_SKILL, f"; {what}")
        yield replace(finding, advice=(remedy, *finding.advice))


def no_skill(evidence: Evidence) -> Iterator[Finding]:
    """Yield that a network learned next to nothing, and that its losses are flat and close together."""
    if _has_settled(evidence, NO_SKILL):
        yield _underfitting(evidence, NO_SKILL)


def _has_settled(evidence: Evidence, skill: float) -> bool:
    """Return whether a whole training ended with little skill and with losses that are flat and close together."""
    train, validation = evidence.losses
    if len(train) < MIN_EPOCHS or not evidence.is_whole or evidence.skill >= skill:
        return False
    return abs(decline(train)) < FLAT and validation[-1] - train[-1] < CLOSE


def _underfitting(evidence: Evidence, skill: float, cause: str = "") -> Finding:
    text = (
        f"It underfits: the losses are flat, and training took away {{share}} of the loss of a constant answer{cause}"
    )
    return _finding(evidence, FindingCode.UNDERFITTING, evidence.n_epochs, max(0.0, evidence.skill), skill, text)


def _restraint(evidence: Evidence) -> tuple[str, Mapping[str, Any]] | None:
    """Return what visibly keeps a network from learning, and the change that takes it away."""
    params = evidence.params
    hidden, dropout = tuple(params.get("hidden") or ()), float(params.get("dropout") or 0)
    penalty, loss = (evidence.curve.values(metric) for metric in ("l2_penalty", "loss"))
    if dropout >= STRONG_DROPOUT:
        return f"dropout of {dropout:g} may be too strong", {"dropout": 0.0}
    if params.get("l2") and any(a > STRONG_L2 * b for a, b in zip(penalty, loss, strict=False)):
        return "its L2 term may be too strong", {"l2": 0.0}
    if hidden and min(hidden) < evidence.n_outputs:
        return f"a layer of {min(hidden)} units is narrower than the output", {"hidden": _widened(hidden)}
    return None


def _widened(hidden: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(64, units) for units in hidden)


def stopped_too_early(evidence: Evidence) -> Iterator[Finding]:
    """Yield that both losses were still falling when the last epoch was over, so that more epochs would help."""
    train, validation = evidence.losses
    if evidence.reason is not Reason.COMPLETED or len(validation) < 2:
        return
    falls = decline(validation)
    least = FLAT if evidence.is_poor else max(FALLING, FALLING_SHARE * validation[-1])
    is_best = min(validation) in validation[-window(len(validation)) :]
    if is_best and falls > least and decline(train) > FLAT:
        text = f"It was stopped too early: after {len(train)} epochs the validation loss was still falling"
        yield _finding(evidence, FindingCode.STOPPED_TOO_EARLY, len(train), falls, least, text)


def unstable(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the training loss rises again and again, or that the validation loss goes up and down."""
    train, validation = evidence.losses
    rises = [change > 0 for change in _swings(train)]
    is_good = bool(validation) and median(validation[-window(len(validation)) :]) < GOOD_LOSS
    turns = [now * before < 0 and not is_good for before, now in pairwise([0.0, *_swings(validation)])]
    for flags, what in ((rises, "the training loss rose"), (turns, "the validation loss turned back")):
        if len(train) >= MIN_EPOCHS and sum(flags) >= SWING_SHARE * len(train):
            share, epoch = sum(flags) / len(train), flags.index(True) + 2
            text = f"Training is unstable: {what} in {{share}} of the epochs"
            yield _finding(evidence, FindingCode.UNSTABLE, epoch, share, SWING_SHARE, text)
            return


def _swings(losses: Sequence[float]) -> list[float]:
    """Return the change of a loss in each epoch after the first, and 0 for changes that do not matter."""
    least = [max(SWING, LEAST_SWING * loss) for loss in losses]
    changes = [later - earlier for earlier, later in pairwise(losses)]
    return [change if abs(change) > size else 0.0 for change, size in zip(changes, least, strict=False)]


def diverged(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the loss became huge or no number; the value is the learning rate."""
    if evidence.reason is Reason.DIVERGED:
        rate = evidence.params.get("learning_rate")
        text = f"It diverged in epoch {evidence.n_epochs}" + (
            "" if rate is None else f" at a learning rate of {rate:.3g}"
        )
        yield _finding(evidence, FindingCode.DIVERGED, evidence.n_epochs, rate, None, text)


def _finding(  # noqa: PLR0913, PLR0917  the parts of a finding
    evidence: Evidence, code: FindingCode, epoch: int, value: float | None, threshold: float | None, text: str
) -> Finding:
    """Return a finding about the whole network; `{share}` in the text stands for the value."""
    sentence = text if value is None else text.replace("{share}", f"{value:.0%}")
    advice: tuple[Mapping[str, Any], ...] = cures_for(code, evidence.params, value, threshold)
    return Finding(code, evidence.number, None, epoch, value, threshold, f"{sentence}.", advice)
