"""Figures of trials: what is drawn, and how much of it. They are pure functions, so the trials here are made up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from report_cases import CASES

from dnnsweep.records import Curve, Objective, Series, State, Trial
from dnnsweep.reports import axes, figures, svg
from dnnsweep.reports.figures import Figure, Found
from dnnsweep.space import SearchSpace, parse_space

LOSS = (Objective("val_loss", "minimize"),)
ACCURACY = (Objective("val_accuracy", "maximize"),)
OF_TRIALS = [kind for kind in figures.KINDS if kind not in figures.OF_ANSWERS]
BOTH = (*ACCURACY, Objective("n_parameters", "minimize"))


def trial(number: int, *values: float, **params: Any) -> Trial:
    """Return a trial that is complete if it has values, else pruned."""
    state = State.COMPLETE if values else State.PRUNED
    return Trial(
        "made-up", number, params, state, None, 2, 3, 1.0, None, 0, 1, None, {}, None, None, values or None
    )  # fmt: skip


def found(
    trials: Sequence[Trial],
    objectives: Sequence[Objective] = LOSS,
    space: Mapping[str, Any] | None = None,
    curves: Mapping[int, Curve] | None = None,
) -> Found:
    return Found("made-up", objectives, search_space(space or {}), trials, curves or {})


def search_space(raw: Mapping[str, Any]) -> SearchSpace:
    space, mistakes = parse_space("space", raw)
    assert not mistakes
    return space


def curve(**metrics: Sequence[float]) -> Curve:
    n_epochs = max(map(len, metrics.values()))
    return Curve(tuple(Series(name, tuple(values)) for name, values in metrics.items()), tuple(range(n_epochs)))


def answered(case: str) -> Found:
    contents = CASES[case]()
    whole = Found("made-up", contents.objectives, contents.space, contents.trials)
    return replace(whole, answer=contents.answer, candidates=contents.candidates, repeats=contents.repeats)


def subtitle(figure: Figure) -> str:
    return str(figure.layout.title.subtitle.text)


def test_the_history_shows_each_value_and_each_better_one() -> None:
    values = (0.5, 0.7, 0.4, 0.9, 0.2)
    trials = [*(trial(number, value) for number, value in enumerate(values)), trial(5)]

    points, best = figures.history(found(trials)).data
    _, largest = figures.history(found(trials, ACCURACY)).data

    assert list(zip(points.x, points.y, strict=True)) == list(enumerate(values))
    assert list(zip(best.x, best.y, strict=True)) == [(0, 0.5), (2, 0.4), (4, 0.2), (5, 0.2)]
    assert list(zip(largest.x, largest.y, strict=True)) == [(0, 0.5), (1, 0.7), (3, 0.9), (5, 0.9)]
    assert subtitle(figures.history(found(trials))) == "5 complete, 1 pruned"


@pytest.mark.parametrize(
    ("values", "objectives", "kind"),
    [
        ((0.01, 0.5, 2.0), LOSS, "log"),
        ((0.1, 0.5, 2.0), LOSS, "linear"),
        ((0.0, 0.5, 200.0), LOSS, "linear"),
        ((-1.0, 0.5, 200.0), LOSS, "linear"),
        ((0.001, 0.5, 0.99), ACCURACY, "linear"),
    ],
)
def test_an_objective_that_spans_decades_is_shown_in_its_logarithm(
    values: Sequence[float], objectives: Sequence[Objective], kind: str
) -> None:
    trials = [trial(number, value) for number, value in enumerate(values)]

    assert figures.history(found(trials, objectives)).layout.yaxis.type == kind


def test_parallel_coordinates_of_decades_have_labels_that_plotly_cannot_make_itself() -> None:
    trials = [trial(number, value) for number, value in enumerate((0.002, 0.03, 1.0, 500.0))]

    [line] = figures.parallel_coordinates(found(trials)).data
    [objective] = line.dimensions

    assert sorted(objective["values"]) == pytest.approx([math.log10(value) for value in (0.002, 0.03, 1.0, 500.0)])
    assert list(objective["ticktext"]) == ["0.002", "0.01", "0.1", "1", "10", "100", "500"]


def test_slices_have_a_panel_for_each_hyperparameter_with_numbers_in_their_scale_and_words_in_their_order() -> None:
    space = {
        "optimizer": ["sgd", "adam"],
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "hidden": [[64, 32], [8], []],
    }
    trials = [
        trial(0, 0.5, optimizer="adam", learning_rate=0.01, hidden=(8,)),
        trial(1, 0.4, optimizer="sgd", learning_rate=0.1, hidden=()),
        trial(2, optimizer="sgd", learning_rate=0.1, hidden=()),
    ]

    figure = figures.slices(found(trials, space=space))
    by_title = {figure.layout[name].title.text: figure.layout[name] for name in ("xaxis", "xaxis2", "xaxis3")}
    panels = {panel.x if panel.x[0] == 0.01 else tuple(map(round, panel.x)) for panel in figure.data}

    assert by_title["learning_rate"].type == "log"
    assert by_title["optimizer"].ticktext == ("sgd", "adam")
    assert by_title["hidden"].ticktext == ("64-32", "8", "none")
    assert panels == {(0.01, 0.1), (1, 0), (1, 2)}
    assert all(panel.y == (0.5, 0.4) for panel in figure.data)


def test_a_hyperparameter_is_drawn_only_for_trials_that_searched_it() -> None:
    momentum = {"when": {"optimizer": "sgd"}, "low": 1e-6, "high": 1e-2, "log": True}
    space = search_space({"optimizer": ["sgd", "adam"], "l2": momentum})
    trials = [trial(0, 0.5, optimizer="sgd", l2=1e-3), trial(1, 0.4, optimizer="adam", l2=0.0)]

    axis = next(axis for axis in axes.hyperparameter_axes(trials, space) if axis.name == "l2")
    figure = figures.parallel_coordinates(Found("made-up", LOSS, space, trials))
    dimension = next(dimension for dimension in figure.data[0].dimensions if dimension.label == "l2")

    assert axis.values == (1e-3, None)
    assert dimension.ticktext[0] == "not used"
    assert min(dimension["values"]) == dimension.tickvals[0]


def test_layers_of_one_width_are_drawn_by_their_number_and_their_width() -> None:
    space = search_space({"hidden": {"layers": [1, 2], "units": {"low": 4, "high": 64}}})
    trials = [trial(0, 0.5, hidden=(4, 4)), trial(1, 0.4, hidden=(64,))]

    drawn = {axis.name: axis.values for axis in axes.hyperparameter_axes(trials, space)}

    assert drawn == {"hidden.layers": ("2", "1"), "hidden.units": (4, 64)}


def test_parallel_coordinates_highlight_the_best_fifth() -> None:
    trials = [trial(number, 0.1 * number) for number in range(1, 11)]

    figure = figures.parallel_coordinates(found(trials))
    [line] = figure.data
    [objective] = line.dimensions
    highlighted = {value for value, color in zip(objective["values"], line.line.color, strict=True) if color}

    assert highlighted == {0.1, 0.2}
    assert list(line.line.color)[-2:] == [1, 1]  # above the others
    assert subtitle(figure) == "the best 20% highlighted (2 trials)"


def test_two_objectives_have_a_panel_each_and_the_pareto_front_highlighted() -> None:
    trials = [trial(0, 0.9, 100.0), trial(1, 0.8, 50.0), trial(2, 0.7, 80.0)]

    history = figures.history(found(trials, BOTH))
    coordinates = figures.parallel_coordinates(found(trials, BOTH))

    assert [history.layout.yaxis.title.text, history.layout.yaxis2.title.text] == ["val_accuracy", "n_parameters"]
    assert [list(trace.y) for trace in history.data[1::2]] == [[0.9, 0.9], [100.0, 50.0, 50.0]]
    assert [dimension.label for dimension in coordinates.data[0].dimensions] == ["val_accuracy", "n_parameters"]
    assert sorted(coordinates.data[0].line.color) == [0, 1, 1]
    assert subtitle(coordinates) == "the Pareto front highlighted (2 trials)"


def test_learning_curves_show_the_best_and_the_median_trial_with_their_best_epochs() -> None:
    trials = [trial(number, value) for number, value in enumerate((0.5, 0.3, 0.4, 0.2, 0.9))]
    curves = {
        one.number: curve(loss=(1.0, 0.9, 0.8), val_loss=(1.0, one.value or 0.0, math.nan)) for one in trials
    }  # fmt: skip

    figure = figures.learning_curves(found(trials, curves=curves))
    lines = {trace.name: trace for trace in figure.data}

    assert set(lines) == {
        "others", "median: trial 2", "median: trial 2, training rows", "best: trial 3", "best: trial 3, training rows",
    }  # fmt: skip
    assert lines["best: trial 3"].y == (1.0, 0.2, None)
    assert [bool(size) for size in lines["best: trial 3"].marker.size] == [False, True, False]
    assert lines["best: trial 3, training rows"].line.dash == "dash"
    assert figure.layout.yaxis.title.text == "val_loss"


def test_learning_curves_of_two_objectives_leave_out_the_one_that_epochs_do_not_have() -> None:
    trials = [trial(0, 0.9, 100.0), trial(1, 0.8, 50.0)]
    curves = {0: curve(val_accuracy=(0.5, 0.9)), 1: curve(val_accuracy=(0.4, 0.8))}

    figure = figures.learning_curves(found(trials, BOTH, curves=curves))

    assert [trace.name for trace in figure.data] == ["median: trial 1", "best: trial 0"]


def test_the_curves_that_are_read_are_few_and_stand_for_the_whole_ranking() -> None:
    trials = [trial(number, float(number)) for number in range(1000)]

    numbers = figures.numbers_of_curves(trials, LOSS)

    assert len(numbers) == figures.N_OTHERS + 3
    assert (numbers[0], numbers[-1]) == (0, 999)
    assert 500 in numbers
    assert figures.numbers_of_curves(trials[:3], LOSS) == [0, 1, 2]


@pytest.mark.parametrize("kind", OF_TRIALS)
def test_a_figure_of_ten_thousand_trials_is_bounded_and_says_what_it_shows(kind: str) -> None:
    space = {"dropout": {"low": 0.0, "high": 0.5}}
    trials = [trial(number, 1e4 - number, dropout=number / 2e4) for number in range(10_000)]
    numbers = figures.numbers_of_curves(trials, LOSS)

    figure = figures.KINDS[kind](found(trials, space=space, curves={n: curve(val_loss=(1.0,)) for n in numbers}))

    n_points = sum(len(trace.x) for trace in figure.data if trace.type == "scatter")
    assert n_points <= 2 * axes.MAX_TRIALS + 2
    assert all(len(trace.line.color) <= figures.MAX_LINES for trace in figure.data if trace.type == "parcoords")
    assert f"of 10,000 {'trials' if kind == 'learning_curves' else 'complete trials'} shown" in subtitle(figure)


def test_the_best_trial_is_among_those_that_parallel_coordinates_show() -> None:
    values = [2.0 + number for number in range(10_000)]
    values[1234] = 0.5
    trials = [trial(number, value) for number, value in enumerate(values)]

    [line] = figures.parallel_coordinates(found(trials)).data

    assert min(line.dimensions[0]["values"]) == math.log10(0.5)


@pytest.mark.parametrize("kind", OF_TRIALS)
@pytest.mark.parametrize("objectives", [LOSS, BOTH])
@pytest.mark.parametrize("trials", [[], [trial(0, dropout=0.1)]])
def test_a_sweep_without_a_complete_trial_has_a_figure_that_says_so(
    kind: str, objectives: Sequence[Objective], trials: list[Trial]
) -> None:
    figure = figures.KINDS[kind](found(trials, objectives, {"dropout": {"low": 0.0, "high": 0.5}}))

    assert [note.text for note in figure.layout.annotations] == ["No trial is complete."]
    assert figure.to_json()


def test_effects_stand_below_each_other_with_both_intervals_in_points() -> None:
    simultaneous, own, effects = figures.effects(answered("whole")).data

    assert list(effects.x) == pytest.approx([4.1, 1.7, 0.2])
    assert list(effects.y) == [0, 1, 2]
    assert list(simultaneous.x)[:3] == [pytest.approx(3.1), pytest.approx(5.1), None]
    assert list(own.x)[:3] == [pytest.approx(3.5), pytest.approx(4.7), None]
    assert effects.marker.color == (svg.MEDIAN_COLOR, svg.MEDIAN_COLOR, svg.UNCLEAR_COLOR)
    labels = figures.effects(answered("whole")).layout.yaxis.ticktext
    assert labels == ("optimizer: sgd, 0.01 → nadam, 0.0026", "batch_norm: false → true", "dropout: 0 → 0.21")


def test_repeats_lie_below_the_means_that_they_make() -> None:
    dots, intervals, means = figures.repeats(answered("whole")).data

    assert means.x == pytest.approx((0.96, 0.94, 0.92, 0.9))
    assert len(dots.x) == 4 * 9
    assert all(0 < y - math.floor(y) < 0.5 for y in dots.y)
    assert list(intervals.x)[:3] == [pytest.approx(0.948), pytest.approx(0.972), None]


def test_importance_is_a_bar_for_each_hyperparameter() -> None:
    shares = {"dropout": 0.1, "optimizer": 0.9}

    [bars] = figures.importance(replace(answered("whole"), importances=shares)).data

    assert list(zip(bars.y, bars.x, strict=True)) == [("optimizer", 0.9), ("dropout", 0.1)]


@pytest.mark.parametrize("kind", sorted(figures.OF_ANSWERS))
@pytest.mark.parametrize("case", ["without_answer", "no_trial", "no_winner", "names_of_markup"])
def test_a_figure_of_an_answer_that_lacks_it_says_so(kind: str, case: str) -> None:
    figure = figures.KINDS[kind](answered(case))

    assert figure.data or [note.text[0] for note in figure.layout.annotations] in (["N"], ["T"])
    assert "<script" not in str(figure)


def test_names_and_words_are_text_and_never_markup() -> None:
    space = search_space({"optimizer": ["sgd", "adam"]})
    trials = [trial(0, 0.5, optimizer="sgd")]

    titles = [
        figures.history(Found("<b>", (Objective("<i>", "minimize"),), space, trials)),
        figures.parallel_coordinates(Found("<b>", (Objective("<i>", "minimize"),), space, trials)),
        figures.learning_curves(Found("<b>", (Objective("<i>", "minimize"),), space, trials)),
    ]

    assert all("<b>" not in str(figure) and "<i>" not in str(figure) for figure in titles)
