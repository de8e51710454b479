"""What may help against a finding, as changes of hyperparameters that can be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from dnnsweep.records.findings import FindingCode

#: Changes of a trial's hyperparameters, each of which may help on its own.
Changes = tuple[Mapping[str, Any], ...]

#: A learning rate is changed by this factor.
RATE_FACTOR: Final = 10
#: Layers that a network without aids for depth is cut down to.
SHALLOW: Final = 3
_RELU: Final = {"activation": "relu", "initializer": "he_normal"}
#: Activation -> the initializer that keeps its signal; He's is for all others.
_INITIALIZER: Final = {"tanh": "glorot_normal", "sigmoid": "glorot_normal", "selu": "lecun_normal"}


def cures_for(code: FindingCode, params: Mapping[str, Any], value: float | None, threshold: float | None) -> Changes:
    """Return what may help against a finding, the most promising change first.

    A change names only hyperparameters that the trial has, and gives each another value than it has.

    Args:
        code: What was found.
        params: Hyperparameters of the trial.
        value: Number that was measured.
        threshold: Number that it was compared with.

    Example:
        >>> cures_for(FindingCode.DIVERGED, {"learning_rate": 1.0, "batch_norm": True}, None, None)
        ({'learning_rate': 0.1},)
    """
    is_above = value is not None and threshold is not None and value > threshold
    proposed = _CURES[code](params) if code is not FindingCode.UPDATE_RATIO else _other_rate(params, lower=is_above)
    changes = ({name: new for name, new in change.items() if params.get(name) != new} for change in proposed)
    return tuple(change for change in changes if change and change.keys() <= params.keys())


def _other_rate(params: Mapping[str, Any], *, lower: bool) -> Iterator[Mapping[str, Any]]:
    """Yield a lower learning rate, or a higher one."""
    if (rate := params.get("learning_rate")) is not None:
        yield {"learning_rate": float(f"{rate / RATE_FACTOR if lower else rate * RATE_FACTOR:.6g}")}


def _vanishing(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"batch_norm": True}
    yield _RELU
    if len(hidden := tuple(params.get("hidden") or ())) > SHALLOW:
        yield {"hidden": hidden[:SHALLOW]}


def _exploding(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"batch_norm": True}
    yield {"global_clipnorm": 1.0}
    yield from _other_rate(params, lower=True)


def _dead(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _other_rate(params, lower=True)
    yield {"activation": "leaky_relu"}
    yield {"batch_norm": True}


def _saturated(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _other_rate(params, lower=True)
    yield {"batch_norm": True}
    yield _RELU


def _initialization(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"batch_norm": True}
    yield {"initializer": _INITIALIZER.get(str(params.get("activation")), "he_normal")}


def _overfitting(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"dropout": 0.3 if float(params.get("dropout") or 0) < 0.3 else 0.5}
    yield {"l2": max(1e-3, 10 * float(params.get("l2") or 0))}
    if hidden := tuple(params.get("hidden") or ()):
        yield {"hidden": tuple(max(1, units // 4) for units in hidden)}


def _underfitting(_: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {"optimizer": "adam", "learning_rate": 1e-3}
    yield {"hidden": (64, 32)}


def _stopped(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if (rate := params.get("learning_rate")) is not None:
        yield {"learning_rate": float(f"{3 * rate:.6g}")}
    yield {"optimizer": "adam"}


def _unstable(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _other_rate(params, lower=True)
    yield {"schedule": "cosine"}
    yield {"batch_size": 4 * int(params.get("batch_size") or 32)}


def _diverged(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _other_rate(params, lower=True)
    yield {"global_clipnorm": 1.0}


_CURES: Final[Mapping[FindingCode, Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]]]] = {
    FindingCode.VANISHING_GRADIENT: _vanishing,
    FindingCode.EXPLODING_GRADIENT: _exploding,
    FindingCode.DEAD_UNITS: _dead,
    FindingCode.SATURATED_UNITS: _saturated,
    FindingCode.POOR_INITIALIZATION: _initialization,
    FindingCode.OVERFITTING: _overfitting,
    FindingCode.UNDERFITTING: _underfitting,
    FindingCode.STOPPED_TOO_EARLY: _stopped,
    FindingCode.UNSTABLE: _unstable,
    FindingCode.DIVERGED: _diverged,
}
