from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from examples import n_examples
from fake_clock import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnnsweep import seeds
from dnnsweep.errors import LedgerError, SweepFailedError
from dnnsweep.executors import TrainerEvent, TrainerLost
from dnnsweep.ledger import Lease, Ledger, NewSweep, Turn
from dnnsweep.records import (
    Curve,
    DataSummary,
    EpochReport,
    Objective,
    Reason,
    Series,
    State,
    Suggestion,
    SweepState,
    Task,
    TrialResult,
    curve_from_reports,
)
from dnnsweep.records.events import EventKind
from dnnsweep.records.phases import Phase
from dnnsweep.records.ranking import pareto_front, rank
from dnnsweep.runner.controller import Controller, ControllerSettings, FixedOrder, Progress, abandon
from dnnsweep.runner.controller.incumbents import Incumbents
from dnnsweep.runner.controller.trials import evaluate
from dnnsweep.runner.controller.watchdog import PROGRESS_SECONDS, RENEW_SECONDS
from dnnsweep.space import Branch, Choice, Conditional, Domain, Hyperparameters, Layers, Range, SearchSpace
from dnnsweep.spec import PrunerSpec
from dnnsweep.study import Study
from dnnsweep.study.pruning import Pruner
from dnnsweep.trainers import TrainerPlan, TrainerReady

SPACE: dict[str, Domain] = {"dropout": Range(0.0, 0.6), "optimizer": Choice(("sgd", "adam", "nadam"))}
DATA = DataSummary("f" * 64, Task.MULTICLASS, 4, ("a",), ("0", "1", "2"), 60, 20, 20)
ACCURACY = Objective("val_accuracy", "maximize")
SIZE = Objective("n_parameters", "minimize")
WINDOW = 4
Summary = tuple[Any, ...]


class Scripted:
    """An executor whose trials end in a random order; some lose their trainer first, some end badly."""

    def __init__(
        self,
        n_slots: int = 2,
        chance: int = 0,
        reasons: dict[int, Reason] | None = None,
        lost: dict[int, int] | None = None,
        n_events: int = 10**9,
        on_event: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._n_slots = n_slots
        self._random = random.Random(chance)
        self._reasons = reasons or {}
        self._lost = dict(lost or {})
        self._n_left = n_events
        self._on_event = on_event
        self.running: list[Suggestion] = []
        self.submitted: list[Suggestion] = []
        self.is_closed = False
        self.memory_mb: list[tuple[int, float]] = []
        self.slot_epochs = (0, 0)

    def open(
        self,
        on_wait: Callable[[], None] = lambda: None,  # noqa: ARG002  it loads no data
        on_phase: Callable[[Phase], None] = lambda _: None,  # noqa: ARG002
    ) -> TrainerReady:
        return TrainerReady(DATA, TrainerPlan("scripted"))

    def submit(self, suggestion: Suggestion) -> bool:
        if len(self.running) >= self._n_slots:
            return False
        self.running.append(suggestion)
        self.submitted.append(suggestion)
        return True

    def kill(self, number: int) -> tuple[int, ...]:
        others = tuple(item.number for item in self.running if item.number != number)
        self.running = []
        return others

    def drop(self, number: int) -> None:
        self.running = [item for item in self.running if item.number != number]

    def events(self, timeout: float) -> Sequence[TrainerEvent]:  # noqa: ARG002
        if not self.running or self._n_left <= 0:
            return []
        self._n_left -= 1
        chosen = self.running.pop(self._random.randrange(len(self.running)))
        self._on_event(chosen.number)
        if self._lost.get(chosen.number, 0) > 0:
            self._lost[chosen.number] -= 1
            return [self._report(chosen, 1), TrainerLost((chosen.number,), "the trainer died by SIGKILL")]
        return [*(self._report(chosen, epoch) for epoch in (1, 2)), self._result(chosen)]

    def close(self) -> None:
        self.is_closed = True

    def interrupt_at_the_end(self, controller: Controller) -> None:
        self._on_event = lambda _: controller.interrupt() if self._n_left == 0 else None

    def _report(self, suggestion: Suggestion, epoch: int) -> EpochReport:
        score = suggestion.params["dropout"] + (suggestion.params["optimizer"] == "adam") + suggestion.seed / 2**40
        metrics = {"val_accuracy": score, "val_loss": 1 / (1 + score)}
        return EpochReport(suggestion.number, suggestion.attempt, epoch, metrics, 1000 + epoch)

    def _result(self, suggestion: Suggestion) -> TrialResult:
        reason = self._reasons.get(suggestion.number, Reason.COMPLETED)
        curve = curve_from_reports(self._report(suggestion, epoch) for epoch in (1, 2))
        best = 2 if reason.state is State.COMPLETE else None
        error = f"RuntimeError: trial {suggestion.number}" if reason is Reason.FAILED else None
        return TrialResult(suggestion.number, suggestion.attempt, reason, curve, best, 0.1, error)


_OPENED: list[Ledger] = []


@pytest.fixture(autouse=True)
def _close_ledgers() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


def stored(url: str, n_trials: int = 20, more: Sequence[Objective] = ()) -> Ledger:
    spec = {"name": "sweep", "dataset": {"source": "sklearn:iris"}, "budget": {"trials": n_trials}}
    ledger = Ledger.open(url, create=True)
    _OPENED.append(ledger)
    new = NewSweep("sweep", spec, {}, "d" * 64, DATA, WINDOW, (ACCURACY, *more))
    ledger.begin(new).end(SweepState.INTERRUPTED)
    return ledger


def take_lease(ledger: Ledger) -> Lease:
    sweep = ledger.sweep("sweep")
    return ledger.begin(NewSweep(sweep.name, sweep.spec, {}, "d" * 64, DATA, WINDOW, sweep.objectives))


def control(ledger: Ledger, executor: Scripted, models: Path, **changes: Any) -> Controller:
    sweep = ledger.sweep("sweep")
    keeps_all = changes.pop("keeps_all_models", False)
    settings = ControllerSettings((ACCURACY,), sweep.n_trials, None, models, keeps_all_models=keeps_all)
    watching = {
        "on_progress": changes.pop("on_progress", lambda _: None),
        "clock": changes.pop("clock", time.monotonic),
    }
    defaults = Hyperparameters().to_params()
    study = Study(changes.pop("space", SPACE), "maximize", "tpe", 0, (), defaults)
    order = FixedOrder(study, defaults, 0, sweep.window)
    return Controller(replace(settings, **changes), take_lease(ledger), order, executor, **watching)


def summary(ledger: Ledger) -> list[Summary]:
    return [(t.number, dict(t.params), t.seed, t.value, t.state, t.reason) for t in ledger.trials("sweep")]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dnnsweep.db'}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Summary]:
    folder = tmp_path_factory.mktemp("undisturbed")
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}")
    control(ledger, Scripted(n_slots=1), folder).run()
    return summary(ledger)


@given(
    n_slots=st.integers(1, 8),
    chance=st.integers(0, 10**6),
    lost=st.dictionaries(st.integers(0, 19), st.integers(1, 2), max_size=5),
    stops=st.lists(st.integers(0, 12), max_size=4),
)
@settings(max_examples=n_examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trials_do_not_depend_on_slots_completion_order_lost_trainers_or_interruptions(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: list[Summary],
    n_slots: int,
    chance: int,
    lost: dict[int, int],
    stops: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("disturbed")
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}")
    for n_events in stops:
        executor = Scripted(n_slots, chance, lost=lost, n_events=n_events)
        controller = control(ledger, executor, folder)
        executor.interrupt_at_the_end(controller)
        if n_events == 0:
            controller.interrupt()
        assert controller.run() in (SweepState.INTERRUPTED, SweepState.COMPLETE)
        if ledger.sweep("sweep").state is SweepState.COMPLETE:
            break

    control(ledger, Scripted(n_slots, chance + 1), folder).run()

    assert summary(ledger) == undisturbed
    ledger.close()


def test_trials_under_conditions_are_the_same_after_interruptions(tmp_path: Path) -> None:
    """What the ledger holds of a trial, its hyperparameters alone, says which branches it was in."""
    momentum = Branch(Range(1e-2, 1.0, log=True), {"optimizer": ("sgd",)})
    space: SearchSpace = {
        **SPACE,
        "learning_rate": Conditional((momentum, Branch(Range(1e-4, 1e-2, log=True), {"optimizer": ("adam",)}))),
        "hidden": Layers(Range(1, 3, is_integer=True), Range(8, 64, log=True, is_integer=True)),
    }
    found = []
    for name, stops in (("whole", ()), ("pieces", (3, 5, 4, 2))):
        ledger = stored(f"sqlite:///{tmp_path / name}.db")
        for n_events in stops:
            executor = Scripted(n_events=n_events)
            controller = control(ledger, executor, tmp_path / name, space=space)
            executor.interrupt_at_the_end(controller)
            assert controller.run() is SweepState.INTERRUPTED
        control(ledger, Scripted(), tmp_path / name, space=space).run()
        found.append(summary(ledger))

    assert found[0] == found[1]
    rates = {params["learning_rate"] for _, params, *_ in found[0] if params["optimizer"] == "nadam"}
    assert rates == {Hyperparameters().learning_rate}
    assert len({len(params["hidden"]) for _, params, *_ in found[0]}) > 1


def test_exactly_the_budget_finishes_and_numbers_are_dense(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=13)

    assert control(ledger, Scripted(5), tmp_path).run() is SweepState.COMPLETE

    assert [trial.number for trial in ledger.trials("sweep")] == list(range(13))
    assert {trial.state for trial in ledger.trials("sweep")} == {State.COMPLETE}


def test_a_raised_budget_goes_on_as_if_it_had_been_asked_for_at_once(
    url: str, tmp_path: Path, undisturbed: list[Summary]
) -> None:
    ledger = stored(url, n_trials=9)
    control(ledger, Scripted(3), tmp_path).run()
    stored(url, n_trials=20).close()

    control(ledger, Scripted(2), tmp_path).run()

    assert summary(ledger) == undisturbed


def test_a_finished_sweep_trains_nothing_more(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=3)
    control(ledger, Scripted(), tmp_path).run()
    again = Scripted()

    assert control(ledger, again, tmp_path).run() is SweepState.COMPLETE

    assert again.submitted == []


def test_diverged_and_failed_trials_count_in_the_budget_but_have_no_value(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=6)
    reasons = {1: Reason.DIVERGED, 2: Reason.FAILED}

    control(ledger, Scripted(reasons=reasons), tmp_path).run()

    trials = ledger.trials("sweep")
    assert [trial.reason for trial in trials[:4]] == ["completed", "diverged", "failed", "completed"]
    assert [trial.value is None for trial in trials] == [False, True, True, False, False, False]
    assert ledger.sweep("sweep").n_finished == 6


def test_ten_failures_in_a_row_stop_the_sweep_with_the_error(url: str, tmp_path: Path) -> None:
    ledger = stored(url)
    executor = Scripted(3, reasons=dict.fromkeys(range(4, 20), Reason.FAILED))
    controller = control(ledger, executor, tmp_path)

    with pytest.raises(
        SweepFailedError, match=r"10 trials in a row failed, the last one with: RuntimeError: trial 13"
    ) as caught:
        controller.run()
    assert isinstance(controller._lease, Lease)
    abandon(controller._lease, caught.value)

    sweep = ledger.sweep("sweep")
    assert sweep.state is SweepState.FAILED
    assert "RuntimeError: trial 13" in str(sweep.error)
    assert sweep.n_running == 0


def test_nine_failures_in_a_row_do_not(url: str, tmp_path: Path) -> None:
    ledger = stored(url)
    failing = dict.fromkeys((*range(9), *range(10, 19)), Reason.FAILED)

    assert control(ledger, Scripted(3, reasons=failing), tmp_path).run() is SweepState.COMPLETE


def test_a_trial_that_loses_three_trainers_is_killed_and_the_sweep_goes_on(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=6)

    control(ledger, Scripted(lost={2: 3}), tmp_path).run()

    trial = ledger.trial("sweep", 2)
    assert (trial.state, trial.reason, trial.attempts) == (State.FAILED, Reason.KILLED, 3)
    assert "SIGKILL" in str(trial.error)
    assert ledger.sweep("sweep").n_finished == 6


def test_a_retried_trial_has_the_same_seed_and_one_more_attempt(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=4)
    executor = Scripted(lost={1: 1})

    control(ledger, executor, tmp_path).run()

    tries = [suggestion for suggestion in executor.submitted if suggestion.number == 1]
    assert [suggestion.attempt for suggestion in tries] == [1, 2]
    assert tries[0].seed == tries[1].seed
    assert ledger.trial("sweep", 1).attempts == 2


def test_an_interruption_puts_running_trials_back_in_the_queue(url: str, tmp_path: Path) -> None:
    ledger = stored(url)
    executor = Scripted(3, n_events=5)
    controller = control(ledger, executor, tmp_path)
    executor.interrupt_at_the_end(controller)

    assert controller.run() is SweepState.INTERRUPTED

    states = {trial.state for trial in ledger.trials("sweep")}
    assert states == {State.COMPLETE, State.QUEUED}
    assert ledger.sweep("sweep").n_finished == 5


def test_a_stopped_sweep_ends_its_running_trials_outside_the_budget_and_can_be_resumed(
    url: str, tmp_path: Path
) -> None:
    ledger, clock = stored(url, n_trials=8), FakeClock()

    def stop(_: int) -> None:
        ledger.request_stop("sweep")
        clock.advance(RENEW_SECONDS)  # then the lease is renewed, by which the controller hears of it

    executor = Scripted(3, on_event=stop)
    assert control(ledger, executor, tmp_path, clock=clock).run() is SweepState.STOPPED

    reasons = [trial.reason for trial in ledger.trials("sweep")]
    assert executor.is_closed
    assert reasons.count(Reason.STOPPED) >= 1
    n_stopped = reasons.count(Reason.STOPPED)
    control(ledger, Scripted(3), tmp_path).run()
    assert ledger.sweep("sweep").n_finished == 8
    assert len(ledger.trials("sweep")) == 8 + n_stopped


def test_a_spent_time_budget_stops_what_is_running(url: str, tmp_path: Path) -> None:
    ledger, clock = stored(url), FakeClock()
    executor = Scripted(2, on_event=lambda _: clock.advance(0.5))

    assert control(ledger, executor, tmp_path, max_seconds=1.5, clock=clock).run() is SweepState.COMPLETE

    sweep = ledger.sweep("sweep")
    assert sweep.n_finished == 3  # after 0.5, 1.0 and 1.5 seconds
    assert Reason.STOPPED in [trial.reason for trial in ledger.trials("sweep")]  # of two slots one is always taken
    assert sweep.n_running == 0


def saving(folder: Path) -> Scripted:
    """Return an executor whose trials save a file each, which holds the trial's number."""

    class Saving(Scripted):
        def _result(self, suggestion: Suggestion) -> TrialResult:
            path = folder / f"trial-{suggestion.number}-{suggestion.attempt}.keras"
            path.write_text(str(suggestion.number))
            return replace(super()._result(suggestion), model_path=str(path))

    return Saving(2, chance=3)


def test_the_best_model_is_kept_and_beaten_ones_are_removed(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=10)

    control(ledger, saving(tmp_path), tmp_path).run()

    best = ledger.best("sweep")[0]
    assert [path.read_text() for path in tmp_path.rglob("*.keras")] == [str(best.number)]
    name = ledger.model_name(ledger.sweep("sweep").id, best.number)
    assert name is not None
    assert (tmp_path / "best" / name).read_text() == str(best.number)


def test_all_models_are_kept_where_the_sweep_file_asks_for_them(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=10)

    control(ledger, saving(tmp_path), tmp_path, keeps_all_models=True).run()

    sweep, complete = ledger.sweep("sweep"), [trial.number for trial in ledger.trials("sweep") if trial.values]
    assert len(complete) > 1
    assert kept(tmp_path / "best") == complete
    assert [number for number in range(10) if ledger.model_name(sweep.id, number)] == complete


# -- two objectives -------------------------------------------------------------------------------------------------


class Sized(Scripted):
    """Its trials have a size, which costs what dropout brings, and save their models."""

    def __init__(self, folder: Path, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._folder = folder

    def _result(self, suggestion: Suggestion) -> TrialResult:
        path = self._folder / f"trial-{suggestion.number}-{suggestion.attempt}.keras"
        path.write_text(str(suggestion.number))
        size = 10 + round(suggestion.params["dropout"] * 20) - suggestion.number % 3
        return replace(super()._result(suggestion), model_path=str(path), n_parameters=size)


def of_two(ledger: Ledger, executor: Scripted, folder: Path, **changes: Any) -> Controller:
    sweep = ledger.sweep("sweep")
    study = Study(SPACE, sweep.directions, "nsga2", 0)
    study.set_population(5)
    order = FixedOrder(study, Hyperparameters().to_params(), 0, sweep.window)
    settings = ControllerSettings((ACCURACY, SIZE), sweep.n_trials, None, folder)
    return Controller(replace(settings, **changes), take_lease(ledger), order, executor)


def summary_of_two(ledger: Ledger) -> list[Summary]:
    return [(*one, trial.values) for one, trial in zip(summary(ledger), ledger.trials("sweep"), strict=True)]


def kept(folder: Path) -> list[int]:
    return sorted(int(path.read_text()) for path in folder.rglob("*.keras"))


def test_the_models_of_all_trials_on_the_front_are_kept_and_no_others(url: str, tmp_path: Path) -> None:
    ledger = stored(url, n_trials=24, more=[SIZE])

    of_two(ledger, Sized(tmp_path, 3, chance=5, reasons={4: Reason.DIVERGED}), tmp_path).run()

    sweep, trials = ledger.sweep("sweep"), [trial for trial in ledger.trials("sweep") if trial.values]
    plain = optuna.create_study(directions=["maximize", "minimize"])
    plain.add_trials([optuna.trial.create_trial(values=trial.values) for trial in trials])
    front = sorted(trials[best.number].number for best in plain.best_trials)
    assert 2 <= len(front) < 24
    assert sorted(sweep.front) == kept(tmp_path) == front
    for number in front:
        assert (tmp_path / "best" / str(ledger.model_name(sweep.id, number))).read_text() == str(number)
    assert [n for n in range(24) if ledger.model_name(sweep.id, n)] == front
    assert ledger.best("sweep", None)[0].number == sweep.best_number == sweep.front[0]


def test_a_trainer_is_told_the_front_so_that_it_need_not_save_what_is_beaten(url: str, tmp_path: Path) -> None:
    ledger, executor = stored(url, n_trials=12, more=[SIZE]), Sized(tmp_path, 1)

    of_two(ledger, executor, tmp_path).run()

    last, trials = executor.submitted[-1], ledger.trials("sweep")[:11]
    ranks = (rank(t.values or (), t.metrics["val_loss"], t.number, "maximize", "minimize") for t in trials)
    assert sorted(last.front) == pareto_front(ranks)


@given(
    n_slots=st.integers(1, 8),
    chance=st.integers(0, 10**6),
    lost=st.dictionaries(st.integers(0, 29), st.integers(1, 2), max_size=5),
    stops=st.lists(st.integers(0, 25), max_size=4),
)
@settings(max_examples=n_examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sweep_of_two_objectives_ends_alike_however_often_it_was_interrupted(
    tmp_path_factory: pytest.TempPathFactory, n_slots: int, chance: int, lost: dict[int, int], stops: list[int]
) -> None:
    reasons = {3: Reason.DIVERGED, 11: Reason.FAILED}
    calm, folder = tmp_path_factory.mktemp("calm"), tmp_path_factory.mktemp("disturbed")
    undisturbed = stored(f"sqlite:///{calm / 'dnnsweep.db'}", n_trials=30, more=[SIZE])
    of_two(undisturbed, Sized(calm, 1, reasons=reasons), calm).run()
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}", n_trials=30, more=[SIZE])
    for n_events in stops:
        executor = Sized(folder, n_slots, chance, reasons, lost=lost, n_events=n_events)
        controller = of_two(ledger, executor, folder)
        executor.interrupt_at_the_end(controller)
        if n_events == 0:
            controller.interrupt()
        controller.run()
        if ledger.sweep("sweep").state is SweepState.COMPLETE:
            break

    of_two(ledger, Sized(folder, n_slots, chance + 1, reasons), folder).run()

    assert summary_of_two(ledger) == summary_of_two(undisturbed)
    assert kept(folder) == kept(calm) == sorted(ledger.sweep("sweep").front)
    ledger.close()


def test_a_second_objective_that_was_not_measured_makes_the_trial_failed() -> None:
    result, values = evaluate(trained((0.1,), 1), "val_accuracy", "n_parameters")

    assert (result.reason, values) == (Reason.FAILED, None)
    assert result.error == "the trainer did not measure n_parameters"


def test_the_values_of_two_objectives_are_those_of_the_best_epoch() -> None:
    result = replace(trained((0.1, 0.9, 0.5), 2), n_parameters=26)

    assert evaluate(result, "val_accuracy", "n_parameters")[1] == (0.9, 26)


def test_models_that_a_killed_trainer_left_behind_are_removed(url: str, tmp_path: Path) -> None:
    (tmp_path / "trial-3-1.keras").write_text("left behind")

    control(stored(url, n_trials=2), Scripted(), tmp_path).run()

    assert list(tmp_path.glob("*.keras")) == []


def test_a_spent_time_budget_suggests_and_trains_nothing_more_when_it_is_run_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, clock = stored(url), FakeClock()
    executor = Scripted(2, on_event=lambda _: clock.advance(20.0))
    control(ledger, executor, tmp_path, max_seconds=50.0, clock=clock).run()
    before = summary(ledger)
    again = Scripted(2)
    monkeypatch.setattr(Lease, "spent_seconds", lambda _: 50.0)  # which the ledger counts by its own clock

    control(ledger, again, tmp_path, max_seconds=50.0, clock=clock).run()

    assert again.submitted == []
    assert summary(ledger) == before


def test_progress_tells_what_ends_and_what_is_best(url: str, tmp_path: Path) -> None:
    ledger, seen = stored(url, n_trials=5), list[Progress]()

    control(ledger, Scripted(2), tmp_path, on_progress=seen.append).run()

    ended = [progress.ended.suggestion.number for progress in seen if progress.ended]
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert seen[-1].n_finished == 5
    assert seen[-1].best is not None
    assert seen[-1].best.number == ledger.best("sweep")[0].number
    assert any(progress.running for progress in seen)


def test_progress_tells_what_the_run_is_doing_and_what_is_searched(url: str, tmp_path: Path) -> None:
    ledger, seen = stored(url, n_trials=5), list[Progress]()

    reasons = {1: Reason.DIVERGED, 2: Reason.FAILED}
    executor = Scripted(2, reasons=reasons)
    control(ledger, executor, tmp_path, on_progress=seen.append, searched=("dropout",)).run()

    phases = [progress.phase for progress in seen]
    assert list(dict.fromkeys(phases)) == [Phase.COMPILING, Phase.TRAINING, Phase.DELIVERING]
    first = next(progress for progress in seen if progress.phase is Phase.TRAINING)
    assert any(first.running.values()) or first.ended is not None
    assert {progress.searched for progress in seen} == {("dropout",)}
    assert (seen[-1].n_failed, seen[-1].n_diverged) == (2, 1)
    assert ledger.sweep("sweep").n_diverged == 1


def test_progress_tells_how_long_mlflow_has_got_nothing(url: str, tmp_path: Path) -> None:
    ledger, clock, seen = stored(url, n_trials=6), FakeClock(), list[Progress]()

    def deliver(number: int) -> None:
        clock.advance(RENEW_SECONDS)
        if number == 3:
            ledger.outbox.make_due()
            for entry in ledger.outbox.claim(99, ledger.sweep("sweep").id):
                ledger.outbox.remove_sent(entry, None)

    control(ledger, Scripted(1, on_event=deliver), tmp_path, on_progress=seen.append, clock=clock).run()

    behind = [progress.behind_seconds for progress in seen if progress.ended]
    assert max(behind[:3]) >= 2 * RENEW_SECONDS
    assert min(behind[3:]) < max(behind[:3])


def test_the_time_left_is_bounded_by_the_budget_of_seconds(url: str, tmp_path: Path) -> None:
    ledger, clock, seen = stored(url, n_trials=20), FakeClock(), list[Progress]()
    executor = Scripted(1, on_event=lambda _: clock.advance(1.0))

    control(ledger, executor, tmp_path, max_seconds=15.0, on_progress=seen.append, clock=clock).run()

    told = [(progress.seconds, progress.seconds_left) for progress in seen if progress.seconds_left is not None]
    assert told
    assert all(left <= max(0.0, 15.0 - seconds) for seconds, left in told)


def test_long_trials_are_brought_up_to_date_while_they_run(url: str, tmp_path: Path) -> None:
    ledger, clock, seen = stored(url, n_trials=1), FakeClock(), []

    def look(progress: Progress) -> None:
        if progress.running.get(0):
            seen.append(ledger.curve(ledger.sweep("sweep").id, 0).n_epochs)

    executor = Stepping(1, on_event=lambda _: clock.advance(PROGRESS_SECONDS * 0.4))
    control(ledger, executor, tmp_path, on_progress=look, clock=clock).run()

    assert seen == [0, 0, 3, 3, 3, 6, 6, 6]  # an epoch lasts four tenths of the time; the ninth ends the trial


class Bursting(Scripted):
    """All its trials end together."""

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        arrived: list[TrainerEvent] = []
        while self.running:
            arrived += super().events(timeout)
        return arrived


def test_what_ends_together_is_stored_before_it_is_said(url: str, tmp_path: Path) -> None:
    ledger, seen = stored(url, n_trials=12), []

    def look(progress: Progress) -> None:
        if progress.ended is not None:
            ended = progress.ended.suggestion.number
            seen.append((progress.n_finished, ledger.trial("sweep", ended).values == progress.ended.values))

    control(ledger, Bursting(4), tmp_path, on_progress=look).run()

    assert seen == [(n_finished, True) for n_finished in range(1, 13)]


def test_what_ends_together_gives_the_same_trials(url: str, tmp_path: Path, undisturbed: list[Summary]) -> None:
    ledger = stored(url)

    control(ledger, Bursting(4), tmp_path).run()

    assert summary(ledger) == undisturbed


def test_what_ends_together_ends_in_the_order_of_its_arrival(url: str, tmp_path: Path) -> None:
    ledger, arrived, ended = stored(url, n_trials=12), list[int](), list[int]()

    def look(progress: Progress) -> None:
        if progress.ended is not None:
            ended.append(progress.ended.suggestion.number)

    control(ledger, Bursting(4, on_event=arrived.append), tmp_path, on_progress=look).run()

    events = [event.number for event in ledger.events("sweep") if event.kind is EventKind.ENDED]
    assert ended == arrived != sorted(arrived)
    assert events == [None, *arrived, None]  # the sweep itself was left once when it was made


def test_results_that_cannot_be_stored_are_not_said(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, seen = stored(url), list[Progress]()
    controller = control(ledger, Bursting(4), tmp_path, on_progress=seen.append)
    finish = Turn.finish

    def fail_at_the_third(turn: Turn, result: TrialResult, *rest: Any) -> None:
        if controller._trials.n_ended == 2:
            raise LedgerError("the disk is full")
        finish(turn, result, *rest)

    monkeypatch.setattr(Turn, "finish", fail_at_the_third)
    with pytest.raises(LedgerError):
        controller.run()

    assert [progress for progress in seen if progress.ended] == []
    assert {trial.value for trial in ledger.trials("sweep")} == {None}


# -- judging --------------------------------------------------------------------------------------------------------


def trained(values: tuple[float, ...], best_epoch: int | None, reason: Reason = Reason.COMPLETED) -> TrialResult:
    curve = Curve((Series("val_accuracy", values),), tuple(range(len(values))))
    return TrialResult(0, 1, reason, curve, best_epoch, 1.0)


def test_the_value_is_the_objective_at_the_best_epoch() -> None:
    assert evaluate(trained((0.1, 0.9, 0.5), 2), "val_accuracy")[1] == (0.9,)


def test_an_objective_that_is_not_finite_makes_the_trial_diverged() -> None:
    result, values = evaluate(trained((0.1, float("nan")), 2), "val_accuracy")

    assert (result.reason, result.best_epoch, values) == (Reason.DIVERGED, None, None)


def test_an_objective_that_was_not_measured_makes_the_trial_failed() -> None:
    result, values = evaluate(trained((0.1,), 1), "val_loss")

    assert (result.reason, values) == (Reason.FAILED, None)
    assert result.error == "the trainer did not measure val_loss"


@pytest.mark.parametrize(
    ("direction", "first", "second", "is_beaten"),
    [
        ("maximize", (0.5, 1.0), (0.6, 9.0), True),
        ("maximize", (0.5, 1.0), (0.5, 0.9), True),
        ("maximize", (0.5, 1.0), (0.5, 1.0), False),
        ("minimize", (0.5, 1.0), (0.6, 0.1), False),
        ("minimize", (0.5, 1.0), (0.4, 9.0), True),
    ],
)
def test_a_trial_beats_another_by_value_then_by_val_loss(
    direction: str, first: tuple[float, float], second: tuple[float, float], is_beaten: bool
) -> None:
    incumbents = Incumbents(direction)
    incumbents.add(0, first[:1], first[1], {})

    assert incumbents.add(1, second[:1], second[1], {}) is is_beaten


class Stepping(Scripted):
    """An executor whose trials train an epoch at a time, whichever of them comes first."""

    N_EPOCHS = 9

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._n_trained: dict[int, int] = {}
        self.dropped: list[int] = []

    def submit(self, suggestion: Suggestion) -> bool:
        self._n_trained[suggestion.number] = 0
        return super().submit(suggestion)

    def drop(self, number: int) -> None:
        self.dropped.append(number)
        super().drop(number)

    def events(self, timeout: float) -> Sequence[TrainerEvent]:  # noqa: ARG002
        if not self.running or self._n_left <= 0:
            return []
        self._n_left -= 1
        chosen = self._random.choice(self.running)
        self._on_event(chosen.number)
        epoch = self._n_trained[chosen.number] = self._n_trained[chosen.number] + 1
        if self._lost.get(chosen.number, 0) > 0 and epoch == 4:
            self._lost[chosen.number] -= 1
            self.running.remove(chosen)
            return [TrainerLost((chosen.number,), "the trainer died by SIGKILL")]
        if epoch < self.N_EPOCHS:
            return [self._report(chosen, epoch)]
        self.running.remove(chosen)
        return [self._result(chosen)]  # the last epoch comes with the result alone

    def _report(self, suggestion: Suggestion, epoch: int) -> EpochReport:
        report = super()._report(suggestion, epoch)
        wave = seeds.derive(suggestion.seed, epoch) / 2**31
        score = report.metrics["val_accuracy"] + wave
        metrics = {"val_accuracy": score, "val_loss": 1 / (1 + score), "loss": 0.5, "l2_penalty": 0.0}
        return replace(report, metrics=metrics)

    def _result(self, suggestion: Suggestion) -> TrialResult:
        curve = curve_from_reports(self._report(suggestion, epoch) for epoch in range(1, self.N_EPOCHS + 1))
        reason = self._reasons.get(suggestion.number, Reason.COMPLETED)
        best = 2 if reason.state is State.COMPLETE else None
        return TrialResult(suggestion.number, suggestion.attempt, reason, curve, best, 0.1)


def pruning_control(ledger: Ledger, executor: Scripted, models: Path, kind: str = "asha", **changes: Any) -> Controller:
    sweep = ledger.sweep("sweep")
    settings = ControllerSettings((ACCURACY,), sweep.n_trials, None, models)
    rule = PrunerSpec(kind=kind, reduction_factor=2) if kind == "asha" else PrunerSpec(kind=kind)  # type: ignore[arg-type]
    pruning = Pruner(rule.settings(), "maximize", Stepping.N_EPOCHS, sweep.window, 0)
    study = Study(SPACE, "maximize", "tpe", 0)
    order = FixedOrder(study, Hyperparameters().to_params(), 0, sweep.window, pruning)
    return Controller(replace(settings, **changes), take_lease(ledger), order, executor)


def courses(ledger: Ledger) -> list[Summary]:
    sweep_id = ledger.sweep("sweep").id
    return [(*row, ledger.curve(sweep_id, number).values("val_accuracy")) for number, row in enumerate(summary(ledger))]


@pytest.fixture(scope="module", params=["median", "asha"])
def pruned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Summary]]:
    folder = tmp_path_factory.mktemp("pruned")
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}")
    pruning_control(ledger, Stepping(n_slots=1), folder, request.param).run()
    return request.param, courses(ledger)


@given(
    n_slots=st.integers(1, 6),
    chance=st.integers(0, 10**6),
    lost=st.dictionaries(st.integers(0, 19), st.integers(1, 2), max_size=4),
    stops=st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=n_examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pruned_sweeps_do_not_depend_on_slots_order_lost_trainers_or_interruptions(
    tmp_path_factory: pytest.TempPathFactory,
    pruned: tuple[str, list[Summary]],
    n_slots: int,
    chance: int,
    lost: dict[int, int],
    stops: list[int],
) -> None:
    kind, undisturbed = pruned
    folder = tmp_path_factory.mktemp("disturbed")
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}")
    for n_events in stops:
        executor = Stepping(n_slots, chance, lost=lost, n_events=n_events)
        controller = pruning_control(ledger, executor, folder, kind)
        executor.interrupt_at_the_end(controller)
        if n_events == 0:
            controller.interrupt()
        if controller.run() is SweepState.COMPLETE:
            break

    pruning_control(ledger, Stepping(n_slots, chance + 1), folder, kind).run()

    assert courses(ledger) == undisturbed
    assert {row[5] for row in undisturbed} == {Reason.COMPLETED, Reason.PRUNED}
    ledger.close()


class Losing(Stepping):
    """Some trials diverge in their fourth epoch, in which their objective is still the best there is."""

    def _report(self, suggestion: Suggestion, epoch: int) -> EpochReport:
        report = super()._report(suggestion, epoch)
        if suggestion.number % 4 != 2 or epoch < 4:
            return report
        return replace(report, metrics={**report.metrics, "val_accuracy": 99.0, "val_loss": float("nan")})

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        return [self._ended(event) for event in super().events(timeout)]

    def _ended(self, event: TrainerEvent) -> TrainerEvent:
        if not isinstance(event, EpochReport) or event.number % 4 != 2 or event.epoch < 4:
            return event
        chosen = next(item for item in self.running if item.number == event.number)
        self.running.remove(chosen)
        curve = curve_from_reports(self._report(chosen, epoch) for epoch in range(1, 5))
        return TrialResult(chosen.number, chosen.attempt, Reason.DIVERGED, curve, None, 0.1)


@pytest.mark.parametrize("n_events", [10, 11, 14, 19, 28])
@pytest.mark.parametrize("kind", [Stepping, Losing])
def test_a_pruned_sweep_that_is_interrupted_again_and_again_is_the_undisturbed_one(
    tmp_path: Path, kind: type[Stepping], n_events: int
) -> None:
    undisturbed = stored(f"sqlite:///{tmp_path / 'undisturbed.db'}")
    pruning_control(undisturbed, kind(1), tmp_path).run()
    ledger = stored(f"sqlite:///{tmp_path / 'disturbed.db'}")

    state = SweepState.INTERRUPTED
    while state is SweepState.INTERRUPTED:
        executor = kind(1, n_events=n_events)
        controller = pruning_control(ledger, executor, tmp_path)
        executor.interrupt_at_the_end(controller)
        state = controller.run()

    assert courses(ledger) == courses(undisturbed)
    assert Reason.PRUNED in {trial.reason for trial in ledger.trials("sweep")}


def test_a_pruned_trial_counts_in_the_budget_leaves_its_trainer_and_keeps_the_epochs_until_then(
    url: str, tmp_path: Path
) -> None:
    ledger = stored(url)
    executor = Stepping(n_slots=2)

    pruning_control(ledger, executor, tmp_path).run()

    trials = ledger.trials("sweep")
    pruned = [trial for trial in trials if trial.reason is Reason.PRUNED]
    assert ledger.sweep("sweep").n_finished == 20
    assert ledger.sweep("sweep").n_failed == 0
    assert {(trial.state, trial.value, trial.best_epoch) for trial in pruned} == {(State.PRUNED, None, None)}
    early = [trial.number for trial in pruned if trial.epochs < Stepping.N_EPOCHS]
    assert executor.dropped
    assert set(executor.dropped) <= set(early)  # of others the result came before the verdict
    for number in early:
        assert ledger.curve(ledger.sweep("sweep").id, number).n_epochs == trials[number].epochs


def test_a_model_saved_before_the_verdict_on_its_trial_was_found_is_removed(url: str, tmp_path: Path) -> None:
    class Saving(Stepping):
        def _result(self, suggestion: Suggestion) -> TrialResult:
            path = tmp_path / f"trial-{suggestion.number}-{suggestion.attempt}.keras"
            path.write_text(str(suggestion.number))
            return replace(super()._result(suggestion), model_path=str(path))

    ledger = stored(url)

    pruning_control(ledger, Saving(4, chance=5), tmp_path).run()

    best = ledger.best("sweep")[0]
    assert list(tmp_path.glob("trial-*")) == []
    assert [path.read_text() for path in (tmp_path / "best").iterdir()] == [str(best.number)]


def test_an_epoch_in_which_a_trial_diverged_is_not_judged(url: str, tmp_path: Path) -> None:
    class Diverging(Stepping):
        def _report(self, suggestion: Suggestion, epoch: int) -> EpochReport:
            report = super()._report(suggestion, epoch)
            if suggestion.number != 6 or epoch < self.N_EPOCHS:
                return replace(report, metrics={**report.metrics, "val_accuracy": float(suggestion.number)})
            return replace(report, metrics=dict.fromkeys(report.metrics, float("nan")))

    ledger = stored(url)

    pruning_control(ledger, Diverging(3, reasons={6: Reason.DIVERGED}), tmp_path).run()

    assert ledger.trial("sweep", 6).reason is Reason.DIVERGED
