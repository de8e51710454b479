"""The report of a sweep: one HTML page with its answer, charts and tables, which asks for nothing on a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dnnsweep.answers.answer import Answer, Plain
from dnnsweep.answers.configurations import baseline_params, configuration_key
from dnnsweep.records import Candidate, Curve, Objective, Repeat, Sweep, SweepState, Trial
from dnnsweep.reports import answer_charts, axes, estimates, report_tables, svg, time_spent, trial_charts
from dnnsweep.reports.report_tables import Table
from dnnsweep.reports.trial_charts import Role
from dnnsweep.space import SearchSpace
from dnnsweep.spec import check

TEMPLATE: Final = "report.html.jinja"


@dataclass(frozen=True)
class ReportContents:
    """What the report of a sweep is made of.

    Args:
        sweep: The sweep.
        trials: All of its trials, in their order.
        curves: Trial's number -> its curve, of those that `curves_to_read` names.
        answer: What the sweep answers; None while it has no answer.
        candidates: All configurations that it repeated.
        repeats: All repeats of these.
        importances: Hyperparameter -> its share in what makes the best trials differ from all others; empty if unknown.
    """

    sweep: Sweep
    trials: Sequence[Trial]
    curves: Mapping[int, Curve] = field(default_factory=dict)
    answer: Answer | None = None
    candidates: Sequence[Candidate] = ()
    repeats: Sequence[Repeat] = ()
    importances: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def ranked(self) -> list[Trial]:
        """Return complete trials, best first in the first objective."""
        return axes.order_by_rank(axes.complete(self.trials), self.objectives)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return what the sweep improves."""
        return self.sweep.objectives

    @cached_property
    def space(self) -> SearchSpace:
        """Return the search space."""
        return check(self.sweep.spec).space

    @cached_property
    def best(self) -> Trial | None:
        """Return the winner if it is a trial, else the best trial; None if there is neither."""
        winner = None if self.answer is None else self.answer.winner
        if winner is not None:
            return next((trial for trial in self.ranked if trial.number == winner["number"]), None)
        return self.ranked[0] if self.ranked else None

    @cached_property
    def baseline(self) -> Trial | None:
        """Return the best trial that has the hyperparameters of the baseline; None if none has."""
        spec = check(self.sweep.spec)
        key = configuration_key(baseline_params(spec.space, spec.default_params, spec.enqueue))
        return next((trial for trial in self.ranked if configuration_key(trial.params) == key), None)

    @cached_property
    def roles(self) -> list[Role]:
        """Return the trials whose curves are told apart, the most important one last; each trial has one role."""
        best_name = "winner" if self.answer is not None and self.answer.winner is not None else "best"
        median = self.ranked[len(self.ranked) // 2] if self.ranked else None
        wanted = [
            (best_name, self.best, svg.WINNER_COLOR, ""),
            ("baseline", self.baseline, svg.BASELINE_COLOR, "7 3"),
            ("median", median, svg.MEDIAN_COLOR, ""),
        ]
        roles: dict[int, Role] = {}
        for name, trial, color, dashes in wanted:
            if trial is None:
                continue
            known = roles.get(trial.number)
            role = Role(name, trial, color, dashes)
            roles[trial.number] = (
                role if known is None else Role(f"{known.name} and {name}", trial, known.color, known.dashes)
            )
        return list(reversed(roles.values()))


def curves_to_read(sweep: Sweep, trials: Sequence[Trial], answer: Answer | None = None) -> list[int]:
    """Return the numbers of the trials whose curves a report draws: winner, median, baseline, and some others.

    Args:
        sweep: The sweep.
        trials: All of its trials.
        answer: What the sweep answers; None while it has no answer.
    """
    contents = ReportContents(sweep, trials, answer=answer)
    others = axes.thin_out(contents.ranked, trial_charts.N_OTHERS)
    return sorted({trial.number for trial in others} | {role.trial.number for role in contents.roles})


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its words.

    Args:
        svg: The chart.
        caption: What it shows.
        legend: Name, colour and dashes of each kind of line.
    """

    svg: Markup
    caption: str = ""
    legend: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report.

    Args:
        title: Its heading.
        text: What to know in order to read it.
        drawings: Its charts.
        tables: Its tables.
    """

    title: str
    text: str = ""
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()

    @property
    def is_wide(self) -> bool:
        """Return whether one of its tables needs the whole width of a page."""
        return any(table.is_wide for table in self.tables)


def write_report(contents: ReportContents) -> str:
    """Return the report of a sweep as an HTML page that is complete in itself; it runs no script.

    Args:
        contents: What the report is made of.
    """
    sections = [section for section in _sections(contents) if section.drawings or section.tables]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE)
    return page.render(
        name=contents.sweep.name,
        description=contents.sweep.description or "",
        facts=_facts(contents),
        sentences=[_with_code(sentence) for sentence in _sentences(contents)],
        sections=sections,
    )


def _facts(contents: ReportContents) -> list[str]:
    sweep = contents.sweep
    return [
        sweep.state.lower(),
        axes.counts_text(contents.trials) + f" of {sweep.n_trials:,} trials" if contents.trials else "no trial yet",
        " and ".join(f"{objective.direction} {objective.metric}" for objective in contents.objectives),
        f"data {sweep.source}",
    ]


def _with_code(sentence: str) -> list[tuple[bool, str]]:
    """Return the parts of a sentence, each with whether it stands between backticks."""
    return [(place % 2 == 1, part) for place, part in enumerate(sentence.split("`")) if part]


def _sentences(contents: ReportContents) -> Sequence[str]:
    if contents.answer is not None and contents.answer.sentences:
        itself = f"Next: `dnnsweep report {contents.sweep.name} "
        return [sentence for sentence in contents.answer.sentences if not sentence.startswith(itself)]
    return list(_without_answer(contents))


def _without_answer(contents: ReportContents) -> Iterator[str]:
    """Say how far the sweep is, and what its best value is worth."""
    sweep, ranked = contents.sweep, contents.ranked
    if not ranked:
        yield "There is no winner, because no trial is complete."
        yield f"Next: `dnnsweep trials {sweep.name}` lists how trials ended."
        return
    if len(contents.objectives) > 1:
        best = axes.find_best(ranked, contents.objectives)
        many = f"{len(best):,} trials are" if len(best) > 1 else "1 trial is"
        yield f"{many} on the Pareto front: no other trial is better in both objectives."
        return
    label = estimates.metric_label(sweep.metric)
    value = label((ranked[0].values or (0.0,))[0])
    plural = "" if len(ranked) == 1 else "s"
    yield f"Trial {ranked[0].number} is the best of {len(ranked):,} complete trial{plural}: {sweep.metric} {value}."
    if len(ranked) > 1:
        yield "It was not repeated. The best of many is partly the luckiest one, so expect less."
    if sweep.state in (SweepState.INTERRUPTED, SweepState.FAILED):
        yield f"Next: `dnnsweep resume {sweep.name}` goes on with the sweep."
    elif sweep.state is SweepState.COMPLETE:
        yield f"Next: `dnnsweep confirm {sweep.name}` repeats the best trials to tell luck from merit."


# ---- sections


def _sections(contents: ReportContents) -> Iterator[Section]:
    yield _settings(contents)
    yield _history(contents)
    title = "Pareto front" if len(contents.objectives) > 1 else "Best trials"
    tables = list(report_tables.best_trials(contents.ranked, contents.objectives, contents.space))
    yield Section(title, tables=tables)
    yield _learning_curves(contents)
    yield _parallel_coordinates(contents)
    yield _effects(contents.answer)
    yield _repeats(contents)
    yield _isolated(contents.answer)
    yield _importance(contents)
    yield _slices(contents)
    yield _findings(contents)
    yield Section("Trials without a value", tables=list(report_tables.endings(contents.trials)))
    yield _time(contents)


def _settings(contents: ReportContents) -> Section:
    if len(contents.objectives) > 1:  # there is no single best trial
        return Section("Settings")
    has_winner = contents.answer is not None and contents.answer.winner is not None
    tables = report_tables.settings(contents.answer, contents.best, contents.baseline)
    return Section("What to use" if has_winner else "Settings of the best trial", tables=list(tables))


def _history(contents: ReportContents) -> Section:
    winner = next((role for role in contents.roles if role.trial is contents.best), None)
    complete = axes.complete(contents.trials)
    charts = trial_charts.history(contents.trials, contents.objectives, winner)
    front = trial_charts.front(contents.trials, contents.objectives)
    legend = [
        ("trial", svg.TRIAL_COLOR, "dot"),
        ("best so far", svg.MEDIAN_COLOR, "line"),
        *([] if winner is None else [(winner.label, winner.color, "ring")]),
    ]
    part = axes.part_text(axes.thin_out(complete), complete)
    drawings = [Drawing(chart, part, legend) for chart in charts]
    if front is not None:
        legend = [("on the Pareto front", svg.WINNER_COLOR, "dot"), ("other trial", svg.OTHER_COLOR, "dot")]
        drawings.append(Drawing(front, "", legend))
    return Section("Trials", axes.counts_text(contents.trials), drawings)


def _learning_curves(contents: ReportContents) -> Section:
    charts = trial_charts.learning_curves(contents.curves, contents.objectives, contents.roles)
    legend = [
        (role.label, role.color, "dashes" if role.dashes else "line")
        for role in reversed(contents.roles)
        if role.trial.number in contents.curves
    ]
    named = {role.trial.number for role in contents.roles}
    if any(number not in named for number in contents.curves):
        legend.append(("others", svg.OTHER_COLOR, "line"))
    if any(_has_training_rows(contents.curves, objective.metric) for objective in contents.objectives):
        legend.append(("training rows", svg.UNCLEAR_COLOR, "dots"))
    caption = f"{len(contents.curves):,} of {len(contents.ranked):,} complete trials; dots mark best epochs."
    return Section("Learning curves", drawings=[Drawing(chart, caption, legend) for chart in charts])


def _has_training_rows(curves: Mapping[int, Curve], metric: str) -> bool:
    training = metric.removeprefix("val_")
    return training != metric and any(curve.values(training) for curve in curves.values())


def _parallel_coordinates(contents: ReportContents) -> Section:
    complete = axes.complete(contents.trials)
    best = axes.find_best(complete, contents.objectives)
    shown = axes.with_best(complete, best, contents.objectives, trial_charts.MAX_LINES)
    searched = axes.hyperparameter_axes(shown, contents.space)
    if not shown or not searched:
        return Section("Parallel coordinates")
    found = [*searched, *axes.objective_axes(shown, contents.objectives)]
    chart = trial_charts.parallel_coordinates(found, [trial.number in best for trial in shown])
    which = "on the Pareto front" if len(contents.objectives) > 1 else f"among the best {100 * axes.BEST_SHARE:.0f} %"
    legend = [(which, svg.WINNER_COLOR, "line"), ("other trial", svg.OTHER_COLOR, "line")]
    caption = "Each line is a trial. " + axes.part_text(shown, complete)
    return Section("Parallel coordinates", drawings=[Drawing(chart, caption.strip(), legend)])


def _effects(answer: Answer | None) -> Section:
    found = [] if answer is None else estimates.effects_of(answer)
    if answer is None or not found:
        return Section("Effects")
    chart = answer_charts.effects(found, answer.metric, answer.direction)
    legend = [
        ("effect seen", svg.MEDIAN_COLOR, "dot"),
        ("no effect seen", svg.UNCLEAR_COLOR, "ring"),
        ("its own 90 % interval", svg.MEDIAN_COLOR, "bar"),
        ("simultaneous 90 % interval", svg.MEDIAN_COLOR, "line"),
    ]
    text = "What each hyperparameter adds on the way from the baseline to the winner."
    return Section("Effects", text, [Drawing(chart, "", legend)], list(report_tables.effects(answer)))


def _repeats(contents: ReportContents) -> Section:
    answer = contents.answer
    found = [] if answer is None else estimates.candidates_of(answer, contents.candidates, contents.repeats)
    if answer is None or not any(one.numbers for one in found):
        return Section("Repeats")
    chart = answer_charts.scores(found, answer.metric)
    text = "The best trials and the baseline, trained again. All repeats of a block share a seed and a split."
    caption = (
        "Line: mean of n repeats with its 90 % interval. Small dots: all repeats, block 0 at the top; "
        "those that effects have added are not part of the mean."
    )
    return Section("Repeats", text, [Drawing(chart, caption)], list(report_tables.candidates(answer)))


def _isolated(answer: Answer | None) -> Section:
    found = [] if answer is None else estimates.isolated_of(answer)
    if answer is None or not any(one.numbers for one in found):
        return Section("Values in isolation")
    text = "Values of one hyperparameter, each with its own best learning rate and optimizer."
    return Section("Values in isolation", text, [Drawing(answer_charts.scores(found, answer.metric))])


def _importance(contents: ReportContents) -> Section:
    stored = None if contents.answer is None else contents.answer.importance
    found = estimates.in_order(contents.importances or stored or {})
    if not found:
        return Section("Importance")
    shares = [(name, share, f"{100 * share:.0f} %") for name, share in found]
    text = "What makes the best trials differ from all others. It describes the search and claims no effect."
    return Section("Importance", text, [Drawing(answer_charts.bars(shares, "Importance of each hyperparameter"))])


def _slices(contents: ReportContents) -> Section:
    complete = axes.complete(contents.trials)
    shown = axes.thin_out(complete, trial_charts.MAX_DOTS)
    searched = axes.hyperparameter_axes(shown, contents.space)
    drawn = [
        Drawing(trial_charts.slices(axis, objective))
        for objective in axes.objective_axes(shown, contents.objectives)
        for axis in sorted(searched, key=lambda axis: bool(axis.categories))  # charts of one height side by side
        if any(value is not None for value in axis.values)
    ]
    text = "Each dot is a trial, each upright line a median. " + axes.part_text(shown, complete)
    return Section("Slices", text.strip(), drawn)


def _findings(contents: ReportContents) -> Section:
    named: Sequence[Plain] = () if contents.answer is None else contents.answer.findings
    winner = None if contents.best is None else contents.best.number
    of_trials = [finding.to_json() for trial in contents.trials for finding in trial.findings]
    tables = report_tables.findings_by_value(of_trials, contents.trials, contents.space)
    listed = report_tables.findings(named or of_trials, winner)
    return Section("Findings", "What is wrong with trainings, and what may help.", tables=[*tables, *listed])


def _time(contents: ReportContents) -> Section:
    parts = time_spent.parts_of(contents.trials, contents.candidates, contents.repeats)
    bars = [
        (part.name, part.seconds, f"{time_spent.duration_text(part.seconds)}, {part.n_trainings:,} trainings")
        for part in parts
    ]
    text = (
        "Time in which at least one network was being trained. A repeat counts for what its configuration was repeated "
        f"for first. All runs together took {time_spent.duration_text(contents.sweep.seconds)}."
    )
    drawings = [Drawing(answer_charts.bars(bars, "Time spent"))] if bars else []
    rows: list[Sequence[Any]] = [
        (part.name, f"{part.n_trainings:,}", f"{part.n_epochs:,}", time_spent.duration_text(part.seconds))
        for part in parts
    ]
    tables = [Table("", ("part", "trainings", "epochs", "time"), rows)] if rows else []
    return Section("Time spent", text, drawings, tables)
