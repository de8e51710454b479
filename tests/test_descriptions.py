"""What the pages of a sweep and of its trials say in MLflow, and in which order its list shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from test_pages import SWEEP, TRIAL

from dnnsweep.delivery import descriptions
from dnnsweep.delivery.descriptions import describe_trial
from dnnsweep.delivery.pages import FIRST, SweepResults, order_of, sweep_page
from dnnsweep.records import Objective, Reason, State, Sweep, SweepState, Trial

BEST = replace(TRIAL, number=3, values=(0.91,), run_id="r3")
DONE = replace(SWEEP, state=SweepState.COMPLETE, n_finished=3, best_number=3, best_value=0.91)


def describe_sweep(sweep: Sweep, best: Sequence[Trial]) -> str:
    """Return the description without the blanks that keep columns apart."""
    return descriptions.describe_sweep(sweep, best).replace("\N{NO-BREAK SPACE}", "")


TWO = (Objective("val_accuracy", "maximize"), Objective("n_parameters", "minimize"))


def test_the_page_of_a_sweep_gives_the_answer_and_links_to_the_best_trials() -> None:
    text = describe_sweep(DONE, [BEST, TRIAL])

    assert text.splitlines()[:7] == [
        "**Best: `val_accuracy` 0.91** at epoch 2 of [trial 3](#/runs/r3), after 3 of 3 trials.",
        "",
        "|  | [trial 3](#/runs/r3) | trial 7 |",
        "| --- | --- | --- |",
        "| `val_accuracy` | 0.91 | 0.9 |",
        "| `learning_rate` | 0.00123456 | 0.00123456 |",
        "| `batch_norm` | True | True |",
    ]
    assert "| `hidden` | 64-32 | 64-32 |" in text
    assert "which techniques?" in text
    assert "**Data**: `sklearn:digits`; 3 training rows, 2 validation rows, 1 test rows; fingerprint `f`." in text
    assert "dnnsweep export digits -o best.py" in text
    assert "dnnsweep export digits --as keras" in text


def test_the_page_of_a_sweep_begins_with_what_it_answers() -> None:
    text = descriptions.describe_sweep(
        DONE, [BEST], ["Trial 3 wins: val_accuracy 0.9.", "batch_norm: *no* effect", "Next: `a_b`", "a`b"]
    )

    assert text.splitlines()[:7] == [
        "**Trial 3 wins: val\\_accuracy 0.9.**",
        "",
        "- batch\\_norm: \\*no\\* effect",
        "- Next: `a_b`",
        "- a\\`b",
        "",
        "**Best single training: `val_accuracy` 0.91** at epoch 2 of [trial 3](#/runs/r3), after 3 of 3 trials.",
    ]


def test_the_page_of_a_sweep_that_goes_on_says_so_far() -> None:
    assert describe_sweep(SWEEP, [BEST]).startswith("**Best so far: `val_accuracy` 0.91**")
    assert describe_sweep(SWEEP, []).startswith("**No answer yet**: 1 of 3 trials have ended, and none has a value.")


def test_the_page_of_a_sweep_with_two_objectives_shows_the_trials_that_none_beats() -> None:
    sweep = replace(DONE, objectives=TWO, front=(3, 7))
    text = describe_sweep(sweep, [replace(BEST, values=(0.91, 900.0)), replace(TRIAL, values=(0.9, 80.0))])

    assert text.startswith(
        "**2 trials that no other beats** in `val_accuracy` and `n_parameters`, after 3 of 3 trials."
    )
    assert "| `n_parameters` | 900 | 80 |" in text


@pytest.mark.parametrize(
    ("value", "cell"),
    [("a|b", "a\\|b"), ("<b>*x*</b>", "\\<b\\>\\*x\\*\\</b\\>"), ("x" * 99, "x" * 59 + "…"), (None, "None"), (2, "2")],
)
def test_a_value_is_shown_as_text_that_no_table_is_broken_by(value: Any, cell: str) -> None:
    sweep = replace(DONE, spec={"space": {"mode": []}})

    assert f"| `mode` | {cell} |" in describe_sweep(sweep, [replace(BEST, params={"mode": value})])


def test_the_page_of_a_trial_says_what_its_objective_is() -> None:
    assert describe_trial(DONE, BEST) == (
        "Trial 3 of the sweep [digits](#/runs/parent). `objective` is `val_accuracy` at epoch 2 of 3, the best one: "
        "0.91. Curves, and the metrics beside them, show the last epoch."
    )


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.state is not State.COMPLETE])
def test_the_page_of_a_trial_without_a_value_says_why(reason: Reason) -> None:
    text = describe_trial(DONE, replace(BEST, values=None, state=reason.state, reason=reason))

    assert text.endswith("so it has no `objective`.")
    assert describe_trial(DONE, replace(BEST, values=None, state=State.RUNNING, reason=None)) == ""


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_trials_sort_as_best_ranks_them_ties_included_and_after_their_sweep(direction: str) -> None:
    sweep = replace(SWEEP, objectives=(Objective("val_r2", direction),))
    values = (-1e300, -2.5, -1.0, -0.0, 0.0, 1e-300, 0.9, 0.9 + 1e-12, 3.0)
    ordered = [(value, loss) for value in values for loss in (0.1, 0.2, None)]
    trials = [_trial(number, value, loss) for number, (value, loss) in enumerate(ordered)]
    sign = -1 if direction == "maximize" else 1

    shuffled = [*trials[1::2], *trials[::2]]
    found = sorted(shuffled, key=lambda trial: order_of(sweep, trial))

    def ranked(trial: Trial) -> tuple[float, float, int]:
        return sign * (trial.value or 0.0), trial.metrics.get("val_loss", float("inf")), trial.number

    assert found == sorted(trials, key=ranked)
    assert all(order_of(sweep, trial) > FIRST for trial in trials)
    assert sweep_page("ledger", sweep, [], "", SweepResults()).tags["dnnsweep.order"] == FIRST


def test_trials_of_two_objectives_sort_by_the_first_one_and_then_by_the_second() -> None:
    sweep = replace(SWEEP, objectives=TWO)
    ordered = [(0.9, 10.0), (0.9, 20.0), (0.8, 1.0)]

    for shuffled in permutations(ordered):
        trials = [replace(TRIAL, values=values) for values in shuffled]
        assert [t.values for t in sorted(trials, key=lambda trial: order_of(sweep, trial))] == ordered


def _trial(number: int, value: float, loss: float | None) -> Trial:
    metrics = {} if loss is None else {"val_loss": loss}
    return replace(TRIAL, number=number, values=(value,), metrics=metrics)
