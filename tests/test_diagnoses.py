"""Diagnoses from curves that are written down here; trained networks are diagnosed in `test_layers.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnsweep.diagnoses import Evidence, constant_loss, diagnose, diagnose_result
from dnnsweep.records import Curve, Finding, FindingCode, Reason, Series, TrialResult
from dnnsweep.space import Hyperparameters

N = 10
#: Losses of a network that learns, and of one that does not, as shares of the loss of a constant answer.
LEARNS = [0.9, 0.6, 0.4, 0.3, 0.22, 0.18, 0.15, 0.14, 0.135, 0.134]
STUCK = [1.02, *[1.0] * (N - 1)]
Layers = Mapping[str, Mapping[str, Sequence[float]]]


def evidence(
    losses: Sequence[float] = STUCK,
    layers: Layers | None = None,
    val_losses: Sequence[float] | None = None,
    reason: Reason = Reason.EARLY_STOPPED,
    n_outputs: int = 1,
    **params: Any,
) -> Evidence:
    """Return a training; a metric of a layer is the same in all epochs unless each is given."""
    n = len(losses)
    series = [Series("loss", tuple(losses)), Series("val_loss", tuple(losses if val_losses is None else val_losses))]
    series.append(Series("l2_penalty", tuple([0.5] * n)))
    for metric, by_layer in (layers or {}).items():
        series += [Series(metric, tuple(v) if len(v) == n else (v[0],) * n, layer) for layer, v in by_layer.items()]
    knobs = {**Hyperparameters().to_params(), **params}
    return Evidence(7, knobs, reason, Curve(tuple(series), tuple(range(n))), 1.0, n_outputs)


def found(*args: Any, **options: Any) -> dict[str, Finding]:
    return {finding.code.value: finding for finding in diagnose(evidence(*args, **options))}


def norms(first: float, last: float) -> Layers:
    return {"gradient_norm": {"hidden_1": [first], "hidden_2": [0.1], "hidden_3": [last]}}


@pytest.mark.parametrize(
    ("layers", "code", "layer", "value", "threshold"),
    [
        (norms(1e-6, 0.01), "vanishing_gradient", "hidden_1", 1e-4, 1e-3),
        (norms(7.2, 0.1), "exploding_gradient", "hidden_1", 72.0, 70.0),
        (norms(0.1, math.inf), "exploding_gradient", "hidden_3", None, None),
        (
            {"gradient_norm": {"hidden_1": [44.0]}, "weight_norm": {"hidden_1": [4.0]}},
            "exploding_gradient",
            "hidden_1",
            11.0,
            10.0,
        ),
        ({"dead_units": {"hidden_1": [0.1], "hidden_2": [0.6]}}, "dead_units", "hidden_2", 0.6, 0.5),
        ({"saturated_units": {"hidden_1": [0.6]}}, "saturated_units", "hidden_1", 0.6, 0.5),
        ({"activation_variance": {"a": [0.5], "b": [0.04]}}, "poor_initialization", "b", 12.5, 10.0),
        ({"activation_variance": {"a": [0.5], "b": [0.0]}}, "poor_initialization", "b", None, 10.0),
        ({"update_ratio": {"a": [0.01], "b": [0.2]}}, "update_ratio", "b", 0.2, 0.1),
        ({"update_ratio": {"a": [1e-9]}, "gradient_norm": {"a": [0.1]}}, "update_ratio", "a", 1e-9, 1e-8),
    ],
)
def test_a_diseased_layer_of_a_network_that_learns_little_is_found(
    layers: Layers, code: str, layer: str, value: float | None, threshold: float | None
) -> None:
    finding = found(layers=layers)[code]

    assert (finding.number, finding.layer, finding.epoch, finding.threshold) == (7, layer, 1, threshold)
    assert finding.value == (None if value is None else pytest.approx(value))
    assert finding.sentence.endswith(".")
    assert "{" not in finding.sentence
    assert found(LEARNS, layers) == {}  # whoever learns is not ill


@pytest.mark.parametrize(
    "layers",
    [
        norms(1e-3, 0.01),  # short, and not much shorter than the last
        norms(1e-3, 10.0),  # much shorter than the last, and not short
        norms(0.0, 0.0),  # cut off everywhere, which is another disease
        {"dead_units": {"hidden_1": [0.9, *[0.1] * (N - 1)]}},  # they woke up
        {"activation_variance": {"a": [0.5]}, "dead_units": {"a": [0.5]}},  # nothing to compare with
        {"update_ratio": {"a": [1e-9]}, "gradient_norm": {"a": [1e-9]}},  # no gradient asks for a step
        {"gradient_norm": {"a": [math.nan] * N}, "update_ratio": {}},
    ],
)
def test_a_layer_that_only_looks_ill_by_one_measure_is_none(layers: Layers) -> None:
    codes = set(found(layers=layers)) - {"underfitting"}

    assert codes == ({"exploding_gradient"} if math.isnan(next(iter(layers.values())).get("a", [0.0])[0]) else set())


def test_a_layer_in_which_nearly_all_units_are_idle_is_found_whatever_the_score() -> None:
    assert set(found(LEARNS, {"dead_units": {"hidden_1": [0.95]}})) == {"dead_units"}


FALLS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("overfitting", {"losses": FALLS, "val_losses": [1.0, 0.9, 0.8, 0.8, 0.85, 0.9, 0.95, 1.0, 1.0, 1.1]}),
        ("underfitting", {"losses": STUCK}),
        ("underfitting", {"losses": [0.7] * N, "dropout": 0.6}),
        ("underfitting", {"losses": [0.7] * N, "l2": 0.1}),
        ("underfitting", {"losses": [0.7] * N, "hidden": (64, 2), "n_outputs": 10}),
        ("stopped_too_early", {"losses": FALLS, "reason": Reason.COMPLETED}),
        ("stopped_too_early", {"losses": [1.0, 0.9], "reason": Reason.COMPLETED}),
        ("unstable", {"losses": [0.9, 0.5, 0.6, 0.5, 0.6, 0.5, 0.6, 0.5, 0.4, 0.3]}),
        ("unstable", {"losses": LEARNS, "val_losses": [0.9, 0.5, 0.7, 0.5, 0.7, 0.5, 0.7, 0.5, 0.5, 0.5]}),
        ("diverged", {"losses": [1.0, 2.0, math.inf], "reason": Reason.DIVERGED, "learning_rate": 3.0}),
    ],
)
def test_what_losses_tell_is_found_and_nothing_else(code: str, options: dict[str, Any]) -> None:
    assert set(found(**options)) == {code}


@pytest.mark.parametrize(
    "options",
    [
        {"losses": LEARNS},
        {"losses": LEARNS, "reason": Reason.COMPLETED},  # it has come to rest
        {"losses": FALLS},  # early stopping has seen that it does not fall any more
        {"losses": LEARNS, "val_losses": [0.9, 0.6, 0.45, 0.4, 0.38, 0.37, 0.36, 0.37, 0.37, 0.37]},
        {"losses": [0.7] * N},  # a little skill may be all that noisy data allow
        {"losses": [1.0], "reason": Reason.COMPLETED},
        {"losses": STUCK[:3], "reason": Reason.PRUNED},
        {"losses": [], "reason": Reason.PRUNED},
        *({"losses": STUCK, "reason": r} for r in (Reason.FAILED, Reason.STOPPED, Reason.KILLED, Reason.TIMEOUT)),
    ],
)
def test_nothing_is_found_in_a_healthy_training_nor_in_one_that_tells_nothing(options: dict[str, Any]) -> None:
    assert found(**options) == {}


def test_a_trial_that_diverged_says_when_and_at_which_learning_rate() -> None:
    finding = found([1.0, math.nan], reason=Reason.DIVERGED, learning_rate=3.0)["diverged"]

    assert (finding.epoch, finding.value) == (2, 3.0)
    assert finding.sentence == "Trial 7: It diverged in epoch 2 at a learning rate of 3."
    assert finding.advice[0] == {"learning_rate": 0.3}


@pytest.mark.parametrize(
    ("params", "advice"),
    [
        (
            {"activation": "sigmoid"},
            [{"batch_norm": True}, {"activation": "relu", "initializer": "he_normal"}, {"hidden": (8, 8, 8)}],
        ),
        ({"activation": "relu", "batch_norm": True}, [{"initializer": "he_normal"}, {"hidden": (8, 8, 8)}]),
    ],
)
def test_advice_changes_hyperparameters_to_values_that_they_do_not_have(
    params: dict[str, Any], advice: list[dict[str, Any]]
) -> None:
    finding = found(layers=norms(1e-6, 0.01), hidden=(8,) * 4, **params)["vanishing_gradient"]

    assert list(finding.advice) == advice


def test_advice_about_a_network_of_ones_own_changes_only_what_the_sweep_knows() -> None:
    plain = evidence(layers=norms(1e-6, 0.01))
    own = replace(plain, params={"units": 3, "learning_rate": 0.1})

    assert diagnose(own)[0].advice == ()
    assert all(advice.keys() <= plain.params.keys() for advice in diagnose(plain)[0].advice)


@pytest.mark.parametrize("code", list(FindingCode))
def test_each_code_has_advice_that_every_trial_can_follow(code: FindingCode) -> None:
    from dnnsweep.diagnoses.cures import cures_for

    params = Hyperparameters(hidden=(8,) * 4, activation="sigmoid").to_params()
    changes = cures_for(code, params, 1.0, 0.5)

    assert changes
    for change in changes:
        assert Hyperparameters.of({**params, **change}).to_params() != params


def test_a_finding_becomes_json_and_comes_back() -> None:
    finding = found(layers=norms(1e-6, 0.01), hidden=[8] * 4)["vanishing_gradient"]
    plain = json.loads(json.dumps(finding.to_json()))

    assert list(plain) == ["code", "number", "layer", "epoch", "value", "threshold", "sentence", "advice"]
    assert Finding.from_json(plain).to_json() == plain


def test_a_constant_answer_is_as_good_as_the_entropy_of_the_classes() -> None:
    assert constant_loss({"task": "binary", "classes": ["a", "b"], "constant_loss": 0.2}) == 0.2
    assert constant_loss({"task": "multiclass", "classes": ["a", "b", "c"]}) == pytest.approx(math.log(3))


def test_without_a_summary_of_the_data_nothing_is_diagnosed() -> None:
    result = TrialResult(0, 1, Reason.EARLY_STOPPED, evidence().curve, 1, 0.1)

    assert diagnose_result(result, {}, {}) == ()
    assert diagnose_result(result, {}, {"task": "regression"}) != ()


_VALUES = st.sampled_from([0.0, 1e-12, 1e-5, 0.01, 0.5, 1.0, 3.0, 100.0, 1e9, math.inf, math.nan])
_METRICS = st.sampled_from(
    ["loss", "val_loss", "l2_penalty", "gradient_norm", "weight_norm", "dead_units", "update_ratio"]
)


@given(
    series=st.lists(
        st.tuples(_METRICS, st.sampled_from([None, "a", "b", "c"]), st.lists(_VALUES, min_size=6, max_size=6))
    ),
    n_epochs=st.integers(0, 6),
    reason=st.sampled_from(list(Reason)),
    params=st.sampled_from([{}, {"learning_rate": 0.1}, {**Hyperparameters().to_params(), "dropout": 0.7, "l2": 1.0}]),
)
def test_any_curve_can_be_diagnosed(
    series: list[tuple[str, str | None, list[float]]], n_epochs: int, reason: Reason, params: dict[str, Any]
) -> None:
    told = {(metric, layer): Series(metric, tuple(values[:n_epochs]), layer) for metric, layer, values in series}
    curve = Curve(tuple(told.values()), tuple(range(n_epochs)))

    for finding in diagnose(Evidence(0, params, reason, curve, 0.7, 10)):
        assert Finding.from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False))) == finding
        assert 1 <= finding.epoch <= n_epochs or finding.code is FindingCode.DIVERGED
