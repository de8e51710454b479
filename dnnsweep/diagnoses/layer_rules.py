"""Rules that compare the layers of one network: gradients, activations and updates.

All but the clearest look at networks only that have learned little from their training rows. A network that has learned
its rows is not ill, whatever its layers look like: gradients are tiny where there is nothing left to learn.

References:
    Zhang, Zhai, Ma & Shen, AUTOTRAINER: an automatic DNN training problem detection and repair system, ICSE 2021:
        vanishing and exploding gradients, dying ReLUs.
    Amazon SageMaker Debugger, list of built-in rules: saturated and inactive units, poor weight initialization.
    Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010:
        activations and gradients compared from layer to layer.
    Karpathy, Neural networks part 3: learning and evaluation (CS231n), 2015: updates of about 1e-3 of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from dnnsweep.diagnoses import cures
from dnnsweep.diagnoses.evidence import Evidence, is_mostly
from dnnsweep.records.findings import Finding, FindingCode

#: A gradient has vanished below this share of that of the last hidden layer, and below this length.
VANISHING_RATIO: Final = 1e-3
VANISHING_NORM: Final = 1e-4
#: A gradient has exploded above this multiple of that of the last hidden layer, or above this one of its own weights.
EXPLODING_RATIO: Final = 70.0
EXPLODING_SHARE: Final = 10.0
#: A loss of this size says the same.
EXPLODING_LOSS: Final = 1e5
#: Share of a layer's units that have to be idle, in a network that learned little and in any network.
IDLE_SHARE: Final = 0.5
MOSTLY_IDLE_SHARE: Final = 0.9
#: Largest variance of the activations of a layer over the smallest one, before training.
VARIANCE_RATIO: Final = 10.0
#: Smallest and largest change of a layer's weights in a step as a share of them.
LEAST_UPDATE: Final = 1e-8
LARGEST_UPDATE: Final = 0.1

_Rows = Mapping[str, Sequence[float]]


def vanishing_gradient(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the first hidden layer has a much shorter gradient than the last one, in most epochs.

    Where the last one has none either, the gradient is cut off and has not vanished on its way.
    """
    norms = evidence.layers("gradient_norm")
    if len(norms) < 2 or not evidence.is_poor:
        return
    first, *_, last = norms
    pairs = list(zip(norms[first], norms[last], strict=True))
    flags = [a < VANISHING_NORM and a < VANISHING_RATIO * b for a, b in pairs]
    if is_mostly(flags):
        epoch = flags.index(True)
        yield _finding(
            evidence,
            FindingCode.VANISHING_GRADIENT,
            first,
            epoch,
            pairs[epoch][0] / pairs[epoch][1],
            VANISHING_RATIO,
            f"The gradient vanishes on its way back: that of {first} has {{value}} of the length of that of {last}",
        )


def exploding_gradient(evidence: Evidence) -> Iterator[Finding]:
    """Yield that a gradient is not finite, or much longer than that of the last hidden layer or than its weights."""
    if not evidence.is_poor:
        return
    code = FindingCode.EXPLODING_GRADIENT
    norms, weights = evidence.layers("gradient_norm"), evidence.layers("weight_norm")
    for layer, values in norms.items():
        infinite = next((epoch for epoch, value in enumerate(values) if not math.isfinite(value)), None)
        if infinite is not None:
            yield _finding(evidence, code, layer, infinite, math.inf, None, f"The gradient of {layer} is not finite")
            return
    comparisons = (
        (_last_of(norms), EXPLODING_RATIO, "that of the last hidden layer"),
        (weights, EXPLODING_SHARE, "the layer's weights"),
    )
    for other, threshold, what in comparisons:
        for layer, ratios in _ratios(norms, other).items():
            flags = [ratio > threshold for ratio in ratios]
            if is_mostly(flags):
                epoch = flags.index(True)
                text = f"The gradient explodes: that of {layer} is {{value}} times as long as {what}"
                yield _finding(evidence, code, layer, epoch, ratios[epoch], threshold, text)
                return
    losses = evidence.curve.values("loss")
    huge = next((epoch for epoch, loss in enumerate(losses) if EXPLODING_LOSS <= loss < math.inf), None)
    if huge is not None:
        yield _finding(evidence, code, None, huge, losses[huge], EXPLODING_LOSS, "The training loss rose to {value}")


def idle_units(evidence: Evidence) -> Iterator[Finding]:
    """Yield layers of which many units pass on no gradient, in the last third of the epochs: dead or saturated ones."""
    kinds = {
        FindingCode.DEAD_UNITS: "Units have died: {value:.0%} of {layer} answer nothing to any row",
        FindingCode.SATURATED_UNITS: "Units are saturated: {value:.0%} of {layer} are stuck at the ends of their range",
    }
    threshold = IDLE_SHARE if evidence.is_poor else MOSTLY_IDLE_SHARE
    for code, text in kinds.items():
        shares = evidence.layers(code.value)
        ends = {layer: median(values[-max(1, len(values) // 3) :]) for layer, values in shares.items() if values}
        layer = max(ends, key=ends.__getitem__, default=None)  # the first of the worst
        if layer is not None and ends[layer] > threshold:
            epoch = next(epoch for epoch, share in enumerate(shares[layer]) if share > threshold)
            sentence = text.format(value=ends[layer], layer=layer)
            yield _finding(evidence, code, layer, epoch, ends[layer], threshold, sentence)


def poor_initialization(evidence: Evidence) -> Iterator[Finding]:
    """Yield that activations differ much in variance from layer to layer before the first step."""
    starts = {layer: values[0] for layer, values in evidence.layers("activation_variance").items() if values}
    if len(starts) < 2 or not evidence.is_poor or not all(map(math.isfinite, starts.values())):
        return
    layer, smallest = min(starts.items(), key=lambda item: item[1])
    dead = evidence.layers(FindingCode.DEAD_UNITS.value).get(layer, (0.0,))
    ratio = max(starts.values()) / smallest if smallest > 0 else math.inf
    if ratio > VARIANCE_RATIO and dead[0] < MOSTLY_IDLE_SHARE:  # what is dead from the start has a finding of its own
        text = "The initialization does not keep the signal: before training the variance of activations "
        text += (
            f"differs {{value}}-fold from layer to layer, and is {'' if smallest else 'zero, the '}smallest in {layer}"
        )
        yield _finding(evidence, FindingCode.POOR_INITIALIZATION, layer, 0, ratio, VARIANCE_RATIO, text)


def update_ratio(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the steps are much too long for the weights of a layer, or do not move them though a gradient asks."""
    ratios, norms = evidence.layers("update_ratio"), evidence.layers("gradient_norm")
    if not evidence.is_poor:
        return
    code = FindingCode.UPDATE_RATIO
    for layer, values in ratios.items():
        flags = [value > LARGEST_UPDATE for value in values]
        if any(flags):
            epoch = flags.index(True)
            text = f"Steps are too long: each one moves the weights of {layer} by {{value}} of their length or more"
            yield _finding(evidence, code, layer, epoch, values[epoch], LARGEST_UPDATE, text)
            return
    for layer, values in ratios.items():
        if values and max(values) < LEAST_UPDATE and min(norms.get(layer, (0.0,))) > VANISHING_NORM:
            text = f"The weights of {layer} stand still: a step moves them by {{value}} of their length"
            yield _finding(evidence, code, layer, 0, max(values), LEAST_UPDATE, text)
            return


def _last_of(norms: _Rows) -> _Rows:
    """Return the values of the last layer for each of the layers before it."""
    if not norms:
        return {}
    *before, last = norms
    return dict.fromkeys(before, norms[last])


def _ratios(above: _Rows, below: _Rows) -> dict[str, list[float]]:
    """Return the quotients of two metrics in the layers that have both; 0 where there is nothing to divide by."""
    return {
        layer: [a / b if b > 0 else 0.0 for a, b in zip(above[layer], below[layer], strict=True)]
        for layer in above
        if layer in below
    }


def _finding(  # noqa: PLR0913, PLR0917  the parts of a finding
    evidence: Evidence,
    code: FindingCode,
    layer: str | None,
    epoch: int,
    value: float,
    threshold: float | None,
    text: str,
) -> Finding:
    """Return a finding; `epoch` counts from 0, and `{value}` in the text stands for the value."""
    number = value if math.isfinite(value) else None
    sentence = text.replace("{value}", f"{value:.2g}")
    advice: tuple[Mapping[str, Any], ...] = cures.cures_for(code, evidence.params, value, threshold)
    return Finding(code, evidence.number, layer, epoch + 1, number, threshold, f"{sentence}.", advice)
