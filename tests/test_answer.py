"""The answer as plain data and as sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import (
    ACCURACY,
    BASELINE,
    LOSS,
    SIZES,
    WINNER,
    candidate,
    measured,
    noisy,
    planted,
    repeat,
    row_answers,
    rules,
    train_coalitions,
    trained,
    trial,
)

from dnnsweep.answers.answer import Answer
from dnnsweep.answers.composition import Measured, compose, plain_scores
from dnnsweep.answers.confirmation import Confirmation, confirm
from dnnsweep.answers.contrast import contrast_between
from dnnsweep.answers.effects import plan_effects
from dnnsweep.answers.expected import expected_scores
from dnnsweep.answers.sentences import MAX_LINES, sentences
from dnnsweep.records import Task


def confirmed(means: list[float], baseline: int | None = None, n_blocks: int = 30) -> Confirmation:
    repeats = trained(rules(len(means), n_blocks=n_blocks), noisy(means))
    candidates = [candidate(number, None if number == baseline else 10 + number) for number in range(len(means))]
    found = confirm(candidates, repeats, ACCURACY, SIZES, baseline)
    assert found is not None
    return found


def scored(answers: list[Any], metric: str, task: Task, n_opened: int = 1) -> Mapping[str, Any] | None:
    return plain_scores(expected_scores(answers, metric, task), n_opened)


def whole() -> Measured:
    plan = plan_effects(contrast_between(BASELINE, WINNER, {}), 10, seed=0)
    effects = measured(plan, train_coalitions(plan, planted(np.random.default_rng(2))))
    return Measured(
        sweep="digits",
        objective=ACCURACY,
        n_trials=100,
        best=trial(7, 0.98),
        confirmation=confirmed([0.6, 0.9, 0.3], baseline=2),
        test=scored(row_answers(Task.MULTICLASS, n_models=10), "val_accuracy", Task.MULTICLASS),
        effects=effects,
        findings=[FINDING],
    )


FINDING: dict[str, Any] = {
    "code": "overfitting",
    "number": 11,
    "layer": None,
    "epoch": 9,
    "value": 1.4,
    "threshold": 0.5,
    "sentence": "Trial 11 overfits from epoch 9 on.",
    "advice": [{"dropout": 0.3}, {"l2": 0.001, "batch_norm": True}],
}


# ---- as data


def test_an_answer_has_the_keys_that_programs_read() -> None:
    plain = compose(whole()).to_json()

    for who, number in (("winner", 11), ("baseline", None)):
        assert {"number", "params", "mean", "interval", "n"} <= plain[who].keys()
        assert plain[who]["number"] == number
        assert plain[who]["interval"][0] < plain[who]["mean"] < plain[who]["interval"][1]
    assert plain["p_best"] > 0.9
    assert plain["p_better_than_baseline"] == 1.0
    assert plain["tied"] == []
    assert {"metric", "score", "this_model", "this_recipe", "n_opened"} <= plain["test"].keys()
    for effect in plain["effects"]:
        assert {"name", "from", "to", "effect", "interval", "simultaneous"} <= effect.keys()
        assert effect["simultaneous"][0] < effect["effect"] < effect["simultaneous"][1]
    assert plain["effects"][1]["from"] is False
    assert plain["effects"][0]["from"] == {"optimizer": "sgd", "learning_rate": 0.1}
    assert plain["findings"] == [FINDING]
    assert plain["sentences"]
    assert plain["kind"] == "confirmed"


def test_an_answer_is_stored_as_json_and_shown_again_as_it_was() -> None:
    answer = compose(whole())

    text = json.dumps(answer.to_json(), allow_nan=False)

    again = Answer.from_json(json.loads(text))
    assert again.to_json() == answer.to_json()
    assert sentences(again) == list(answer.sentences)


@pytest.mark.parametrize(
    "known",
    [
        Measured("s", ACCURACY),
        Measured("s", ACCURACY, 3, trial(1, 0.5)),
        Measured("s", ACCURACY, 3, trial(1, 0.5), confirmed([0.5, 0.9], n_blocks=3)),
        Measured("s", ACCURACY, test=scored([None], "val_accuracy", Task.BINARY)),
    ],
)
def test_what_was_not_measured_is_null_and_never_no_number(known: Measured) -> None:
    plain = compose(known).to_json()

    json.dumps(plain, allow_nan=False)
    assert plain["effects"] == []
    assert plain["effects_summary"] is None


def test_answers_of_other_versions_are_read() -> None:
    assert Answer.from_json({"sweep": "s", "metric": "m", "direction": "maximize", "later": 1}).kind == "best_of_many"


def test_a_stored_answer_is_read_and_told_without_numpy() -> None:
    code = "import sys, dnnsweep.answers.sentences; print(any(m in sys.modules for m in ('numpy', 'scipy', 'pandas')))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"


def test_the_documentation_names_every_key() -> None:
    plain = compose(whole()).to_json()
    page = (Path(__file__).parents[1] / "docs" / "answers.md").read_text(encoding="utf-8")
    named = {"sweep", "metric", "direction", "n_trials"}  # as of the sweep itself

    for part in (plain, plain["winner"], plain["test"], plain["effects"][0]):
        assert [key for key in part if f"`{key}`" not in page and key not in named] == []


# ---- as sentences


def told(**changes: Any) -> list[str]:
    return list(compose(replace(whole(), **changes)).sentences)


def test_a_whole_answer_is_told_in_order_and_in_twelve_lines_at_most() -> None:
    lines = told()

    assert len(lines) <= MAX_LINES
    assert lines[0].startswith("Trial 11 wins: val_accuracy 9")
    assert lines[1].startswith("It is better than the baseline in 100 % (")
    assert lines[2].startswith("Expect accuracy ")
    assert lines[3].startswith("optimizer, learning rate: +")
    assert lines[4].startswith("batch norm: +2.2 points (+1.")
    assert lines[4].endswith("), true instead of false")
    assert lines[5].startswith("dropout: no effect seen (")
    assert lines[6] == "Trial 11 overfits from epoch 9 on. Try dropout 0.3 or l2 0.001 and batch norm true."
    assert lines[7] == "Next: `dnnsweep report digits -o report.html` draws it"


def test_no_better_than_the_baseline_is_said_first() -> None:
    few = told(confirmation=confirmed([0.9, 0.1], baseline=1, n_blocks=3))
    itself = told(confirmation=confirmed([0.9, 0.1], baseline=0))

    assert few[0].startswith(
        "No better than the baseline, as far as 3 blocks can tell: trial 10 is better in 100 % (37 "
    )
    assert few[1].startswith("Trial 10 leads: ")
    assert itself[0] == "No better than the baseline: the baseline itself leads."
    assert itself[1].startswith("The baseline leads: val_accuracy ")


def test_who_is_tied_is_named() -> None:
    lines = told(confirmation=confirmed([0.9, 0.9, 0.9, 0.0], baseline=3))

    assert lines[0].split(": ")[0].endswith(" leads")
    assert any(line.startswith("It is tied with trial") for line in lines)


def test_the_best_of_many_is_called_that() -> None:
    confirm_it = "`dnnsweep confirm digits` repeats the best trials to tell luck from merit"
    lines = told(
        confirmation=None, test=None, effects=None, findings=[], skipped={"confirmation": "--no-confirm was given"}
    )

    assert lines == [
        "Trial 7 is the best of 100 trials: val_accuracy 98 %.",
        "It was not repeated. The best of many is partly the luckiest one, so expect less.",
        "Not in this answer: confirmation, because --no-confirm was given.",
        f"Next: {confirm_it}; `dnnsweep report digits -o report.html` draws it",
    ]


def test_no_winner_has_its_reason() -> None:
    all_lost = confirm(
        [candidate(0, 3), candidate(1)], [repeat(c, b, None) for c in (0, 1) for b in (0, 1, 2)], LOSS, SIZES, 1
    )
    nothing: dict[str, Any] = {"test": None, "effects": None, "findings": []}

    assert told(confirmation=None, best=None, **nothing)[0] == "There is no winner, because no trial has a value."
    assert told(confirmation=all_lost, **nothing) == [
        "There is no winner, because all repeats of 2 candidates failed.",
        "Next: `dnnsweep trials digits` lists how trials ended",
    ]


def test_repeats_that_failed_are_counted() -> None:
    repeats = [repeat(0, block, None if block == 4 else 0.5 + block / 100) for block in range(6)]

    lines = told(confirmation=confirm([candidate(0, 3)], repeats, ACCURACY, SIZES, None))

    assert "the mean of 6 repeats of which 1 failed" in lines[0]


def test_test_rows_that_were_opened_before_are_told() -> None:
    opened_again = scored(row_answers(Task.MULTICLASS), "val_accuracy", Task.MULTICLASS, n_opened=3)
    assert not any("opened" in line for line in told())
    assert "These test rows were opened 3 times, so the score may be too good." in told(test=opened_again)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([None, None], "There is no score to expect"),
        ([None, *row_answers(Task.BINARY)], "and no value from this model"),
        ([None, *row_answers(Task.BINARY)], "on 60 test rows; 1 of 4 networks diverged."),
        (row_answers(Task.BINARY), "Beside it: accuracy "),
    ],
)
def test_the_score_to_expect_says_what_it_lacks(answers: list[Any], expected: str) -> None:
    (line,) = [one for one in told(test=scored(answers, "val_loss", Task.BINARY)) if "xpect" in one]

    assert expected in line


def test_a_smaller_loss_is_told_as_a_change_of_the_loss() -> None:
    plan = plan_effects(contrast_between(BASELINE, WINNER, {}), 10, seed=0)
    effects = measured(plan, train_coalitions(plan, planted(np.random.default_rng(2), -1.0)), LOSS)

    lines = told(objective=LOSS, effects=effects)

    assert effects.effects[1].effect.mean > 0
    (line,) = [line for line in lines if line.startswith("batch norm")]
    assert line == "batch norm: val_loss -0.022 (-0.025 to -0.019), true instead of false"


def test_many_effects_and_findings_leave_twelve_lines() -> None:
    answer = compose(whole())
    effect: Mapping[str, Any] = answer.effects[2]
    many = replace(
        answer,
        effects=[*answer.effects[:2], *({**effect, "name": f"knob_{index}"} for index in range(20))],
        findings=[{**FINDING, "code": f"code_{index}"} for index in range(5)],
        skipped={"importance": "two objectives have none"},
    )

    lines = sentences(many)

    assert len(lines) == MAX_LINES
    assert lines[-1].startswith("Next: ")
    assert any(
        line.startswith("18 without an effect seen: knob 2, knob 3, knob 4, knob 5 and 14 others") for line in lines
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sentence": None}, "Trial 11: overfitting from epoch 9 on."),
        ({"sentence": None, "layer": "dense_1"}, "Trial 11: overfitting in dense_1 from epoch 9 on."),
        ({"advice": "Add dropout."}, "Trial 11 overfits from epoch 9 on. Add dropout."),
        ({"advice": []}, "Trial 11 overfits from epoch 9 on."),
    ],
)
def test_findings_are_told_with_what_may_help(changes: dict[str, Any], expected: str) -> None:
    assert any(line.startswith(expected) for line in told(findings=[{**FINDING, **changes}]))


def test_the_winners_findings_come_first_and_those_of_a_code_once() -> None:
    other = {**FINDING, "code": "unstable", "number": 3, "sentence": "Trial 3 is unstable."}
    again = {**FINDING, "number": 4, "sentence": "Trial 4 overfits."}

    lines = told(findings=[other, again, FINDING])

    told_findings = [line for line in lines if "Try" in line]
    assert [line.partition(".")[0] for line in told_findings] == [
        "Trial 11 overfits from epoch 9 on",
        "Trial 3 is unstable",
    ]
    assert " So it is in 1 other trial." in told_findings[0]
