"""The report of a sweep: one page that is complete in itself, whatever the sweep. A browser looks at it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from report_cases import CASES, MARKUP, N_TRIALS, WINNER, answer_of, contents_of, sweep_of, trial_of, trials_of

from dnnsweep.records import Curve, Series
from dnnsweep.reports import svg, time_spent, trial_charts
from dnnsweep.reports.report import ReportContents, curves_to_read, write_report

#: A page stays below this, whatever its sweep, so that MLflow shows it.
MAX_BYTES = 5_000_000
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Reads a page as a browser does, and checks that each element is closed where it has to be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.texts.append(data.strip())
            if self.open[-1] == "h2":
                self.headings.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@cache
def contents(case: str) -> ReportContents:
    return CASES[case]()


@cache
def page(case: str) -> str:
    return write_report(contents(case))


@cache
def outline(case: str) -> Outline:
    return Outline(page(case))


def text_of(case: str) -> str:
    return " ".join(outline(case).texts)


def numbers_in(page: str) -> Iterator[str]:
    """Yield everything that places an element of a chart."""
    for name, value in re.findall(r' (x|y|x1|y1|x2|y2|cx|cy|width|height|d)="([^"]*)"', page):
        yield from [value] if name != "d" else re.findall(r"[^MLh ]+", value)


@pytest.mark.parametrize("case", CASES)
def test_a_page_asks_for_nothing_runs_nothing_and_is_small(case: str) -> None:
    written = outline(case)

    assert len(page(case).encode()) < MAX_BYTES
    assert {tag for tag, _ in written.elements} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    assert all(not name.startswith("on") for _, attributes in written.elements for name in attributes)
    assert "url(" not in page(case)
    assert "@import" not in page(case)
    [policy] = [one["content"] for one in written.named("meta") if "http-equiv" in one]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("case", CASES)
def test_every_mark_of_a_chart_has_a_finite_place_inside_of_it(case: str) -> None:
    assert all(-1 <= float(number) <= 3000 for number in numbers_in(page(case)))
    assert all(one["aria-label"] for one in outline(case).named("svg"))


def test_the_answer_comes_first_and_word_for_word() -> None:
    told = text_of("whole")

    places = [told.index(sentence.partition("`")[0]) for sentence in answer_of(sweep_of()).sentences[:-1]]

    assert places == sorted(places)
    assert max(places) < told.index("What to use")


def test_a_whole_report_has_all_sections_in_their_order() -> None:
    assert outline("whole").headings == [
        "What to use", "Trials", "Best trials", "Learning curves", "Parallel coordinates", "Effects", "Repeats",
        "Values in isolation", "Importance", "Slices", "Findings", "Trials without a value", "Time spent",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (
            "without_answer",
            f"Trial {WINNER} is the best of 37 complete trials: val_accuracy 97 %. It was not repeated.",
        ),
        ("without_answer", "dnnsweep confirm made-up repeats the best trials"),
        ("one_trial", "Trial 0 is the best of 1 complete trial: val_accuracy 80 %."),
        ("no_trial", "no trial yet"),
        ("only_failed_trials", "There is no winner, because no trial is complete."),
        ("only_failed_trials", "diverged 3 loss is <nan>"),
        ("interrupted", "interrupted · 1 queued, 1 running, 12 complete of 40 trials"),
        ("interrupted", "dnnsweep resume made-up goes on with the sweep."),
        ("two_objectives", "9 trials are on the Pareto front"),
        ("no_winner", "There is no winner, because all repeats of 4 candidates failed."),
        ("twenty_thousand_trials", "2,000 of 20,000 complete trials shown"),
    ],
)
def test_what_is_missing_is_said(case: str, told: str) -> None:
    assert told in text_of(case)


@pytest.mark.parametrize("case", CASES)
def test_sections_without_anything_to_show_are_left_out(case: str) -> None:
    sections = re.findall(r"<section.*?</section>", page(case), flags=re.DOTALL)

    assert all("<svg" in section or "<td" in section for section in sections)


def test_names_and_words_are_text_and_never_markup() -> None:
    shown = page("names_of_markup")

    assert outline("names_of_markup").named("b") == []
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") > 10
    assert MARKUP in text_of("names_of_markup")


def test_two_objectives_have_a_chart_each_and_the_pareto_front() -> None:
    charts = [one["aria-label"] for one in outline("two_objectives").named("svg")]

    assert charts[:3] == [
        "val_accuracy of each trial, and the best one so far",
        "n_parameters of each trial, and the best one so far",
        "Both objectives, the Pareto front marked",
    ]
    assert "What to use" not in outline("two_objectives").headings


def test_an_objective_over_decades_is_drawn_in_its_logarithm() -> None:
    scale = svg.fit_scale([0.001, 1000.0], 100.0, 0.0, is_log=True)

    assert scale.place(1.0) == pytest.approx(50.0)
    assert [label for _, label in scale.marks] == ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]
    assert {"0.01", "100"} <= set(outline("decades").texts)


@pytest.mark.parametrize(
    "numbers", [[], [0.0], [5.0, 5.0], [1e-300, 1e-290], [-1e9, 1e9], [0.1 + 1e-13, 0.1], [float("nan"), 1.0]]
)
@pytest.mark.parametrize("is_log", [False, True])
def test_a_scale_holds_all_numbers_and_labels_only_what_it_holds(numbers: list[float], *, is_log: bool) -> None:
    scale = svg.fit_scale(numbers, 0.0, 100.0, is_log=is_log)

    assert all(0 <= scale.place(number) <= 100 for number in numbers if number == number)  # noqa: PLR0124  no NaN
    assert all(-1e-6 <= scale.place(number) <= 100 + 1e-6 for number, _ in scale.marks)


def test_winner_baseline_and_median_have_curves_and_others_stand_for_the_ranking() -> None:
    drawn = contents("whole")

    assert {role.name: role.trial.number for role in drawn.roles} == {"median": 18, "baseline": 0, "winner": WINNER}
    assert len(drawn.curves) <= trial_charts.N_OTHERS + 3
    assert {WINNER, 0, 18} <= drawn.curves.keys()
    assert [role.name for role in contents("one_trial").roles] == ["best and baseline and median"]


def test_the_winner_is_that_of_the_answer_and_not_the_best_value() -> None:
    sweep = sweep_of()
    answer = replace(answer_of(sweep), winner={**answer_of(sweep).candidates[1]})

    drawn = contents_of(sweep, trials_of(sweep), answer)

    assert {role.name: role.trial.number for role in drawn.roles}["winner"] == 11
    assert "winner: trial 11<" in write_report(drawn)


def test_the_score_of_each_repeat_is_a_dot_and_retrained_networks_are_none() -> None:
    titles = re.findall(r"<title>block (\d): ", page("whole"))

    assert sorted(titles) == sorted(str(block) for _ in range(4) for block in range(9))


def test_an_effect_on_a_loss_is_told_as_the_loss_changes() -> None:
    answer = replace(answer_of(sweep_of()), metric="val_loss", direction="minimize")
    drawn = write_report(replace(contents("whole"), answer=answer))

    assert "val_loss -0.041 (-0.051 to -0.031)" in drawn
    assert "change of val_loss (lower is better)" in drawn


def test_findings_are_counted_by_technique() -> None:
    told = text_of("whole")

    assert "all trials 3 of 40" in told
    assert "batch_norm true 2 of 19" in told
    assert "optimizer sgd 1 of 14" in told
    assert "overfitting 21 - 9 1.4 0.5 dropout 0.3 or l2 0.001" in told


def test_epochs_that_diverge_interrupt_a_curve() -> None:
    sweep = sweep_of(1)
    trial = trial_of(sweep, 0, 0.9)
    broken = Curve((Series("val_accuracy", (0.5, float("nan"), 0.7, float("inf"))),), (1, 2, 3, 4))

    drawn = write_report(ReportContents(sweep, [trial], {0: broken}))

    [line] = re.findall(r'stroke-width="2.2"[^>]*><path d="([^"]*)"', drawn)
    assert line.count("M") == 2
    assert line.count("L") == 0


def test_time_counts_once_what_was_trained_side_by_side() -> None:
    drawn = contents("whole")

    parts = {part.name: part for part in time_spent.parts_of(drawn.trials, drawn.candidates, drawn.repeats)}

    assert [part.n_trainings for part in parts.values()] == [N_TRIALS, 36, 9]
    assert parts["search"].seconds == pytest.approx(N_TRIALS + 0.5)  # a second apart, one and a half each
    assert parts["confirm the best trials"].seconds == 9.0


def test_no_more_curves_are_read_than_are_drawn() -> None:
    drawn: Any = contents("twenty_thousand_trials")

    assert len(curves_to_read(drawn.sweep, drawn.trials, drawn.answer)) <= trial_charts.N_OTHERS + 3


def test_the_winner_is_marked_among_twenty_thousand_trials_and_nothing_is_where_no_trial_won() -> None:
    many, answer = contents("twenty_thousand_trials"), answer_of(sweep_of())
    late = replace(answer, winner={**answer.candidates[0], "number": 12_345})
    alone = replace(answer, winner={**answer.candidates[0], "number": None})

    assert "<title>winner: trial 12345</title>" in write_report(replace(many, answer=late))
    assert "winner: trial" not in write_report(replace(contents("whole"), answer=alone))
