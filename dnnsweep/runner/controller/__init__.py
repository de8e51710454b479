"""The loop of a sweep: ask, dispatch, report, tell. It owns the sweep while it holds the lease."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from dnnsweep.diagnoses import diagnose_result
from dnnsweep.errors import LedgerAwayError, SweepFailedError
from dnnsweep.executors import Executor, TrainerEvent, TrainerLost, TrialDropped
from dnnsweep.ledger import Lease, Told
from dnnsweep.records import AttemptStarted, EpochReport, Objective, Reason, Suggestion, SweepState, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.redaction import redact
from dnnsweep.runner.controller.attempts import Attempt
from dnnsweep.runner.controller.incumbents import Incumbent, Incumbents
from dnnsweep.runner.controller.models import Models
from dnnsweep.runner.controller.order import FixedOrder
from dnnsweep.runner.controller.pace import Pace
from dnnsweep.runner.controller.progress import Progress, TrialEnded
from dnnsweep.runner.controller.pruning_reports import PruningReports
from dnnsweep.runner.controller.seams import Order, SweepLease, Writes
from dnnsweep.runner.controller.trials import Trials, evaluate
from dnnsweep.runner.controller.watchdog import Clock, Watchdog
from dnnsweep.settings import BEST

__all__ = ["Controller", "ControllerSettings", "FixedOrder", "Incumbent", "Progress", "TrialEnded", "abandon"]

#: How often a trial may lose its trainer before it counts as killed.
MAX_ATTEMPTS: Final = 3
#: How many trials may fail one after the other, in the order of trials, before the sweep is given up.
MAX_FAILURES: Final = 10
#: How long to wait for trainers before looking at everything else.
TICK_SECONDS: Final = 0.2
_BROKEN: Final = (Reason.FAILED, Reason.KILLED)


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What the controller needs to know of a sweep, beside its study.

    Args:
        objectives: What the sweep improves: one objective, or two.
        n_trials: How many trials the budget allows.
        max_seconds: Wall time over all runs of the sweep; None for no limit.
        models: Folder into which trainers save models; those of trials that no other beats stay there.
        timeout: Seconds that a trial may train; None for no limit. Its trainer ends it, and is killed if it does not.
        silence: Seconds that a trial may report nothing.
        target: A value as good as this ends the sweep; None for no target.
        left_as: The state in which an interrupted sweep is left.
        searched: Names of the hyperparameters that are searched.
        keeps_all_models: Whether each trial's model stays, and not only those of trials that no other beats.
        kept_models: Name of the folder, below `models`, of the models that stay.
        is_followed: Whether more is trained once the budget is spent, so that lease and trainers are kept.
        data: Summary of the data as plain JSON, by which trainings are diagnosed; empty for no diagnoses.
    """

    objectives: tuple[Objective, ...]
    n_trials: int
    max_seconds: float | None
    models: Path
    timeout: float | None = None
    silence: float = math.inf
    target: float | None = None
    left_as: SweepState = SweepState.INTERRUPTED
    searched: tuple[str, ...] = ()
    keeps_all_models: bool = False
    kept_models: str = BEST
    is_followed: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


def abandon(lease: Lease, error: BaseException) -> None:
    """Store why a sweep could not go on, put its running trials back in the queue, and end the lease."""
    state = SweepState.FAILED if isinstance(error, Exception) else SweepState.INTERRUPTED
    lease.end(state, redact(str(error)) or None, is_patient=not isinstance(error, LedgerAwayError))


class Controller:
    """Runs one sweep to its end.

    Args:
        settings: What the controller needs to know of the sweep.
        lease: The right to write the sweep.
        order: Asks and tells a fresh study, which is rebuilt from the ledger here.
        executor: Runs the trainers; opened.
        on_progress: Called after each change, in this thread.
        clock: Returns seconds, from any beginning.
    """

    def __init__(  # noqa: PLR0913  what a controller works with; the last two are seldom given
        self,
        settings: ControllerSettings,
        lease: SweepLease,
        order: Order,
        executor: Executor,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._lease = lease
        self._writes: Writes  # what the present turn stores; made by `_turn`
        self._order = order
        self._pruner = order.pruner
        self._reports = PruningReports(order.pruner, settings.objectives[0].metric)
        self._executor = executor
        self._on_progress = on_progress
        self._watchdog = Watchdog(clock, settings.timeout, settings.silence)
        self._trials = Trials()
        self._queue: deque[Suggestion] = deque()
        self._incumbents = Incumbents(*(objective.direction for objective in settings.objectives))
        self._models = Models(settings.models, settings.kept_models)
        self._unreported: list[Progress] = []
        self._n_failures_in_a_row = 0
        self._spent_before = 0.0
        self._is_interrupted = False
        self._is_stop_requested = False
        self._n_behind = 0
        self._delivered_at = self._watchdog.now()
        self._phase = Phase.COMPILING
        self._pace = Pace()

    def interrupt(self) -> None:
        """Ask the loop to end at the next safe point; running trials go back to the queue."""
        self._is_interrupted = True

    def drain(self, seconds: float) -> None:
        """Ask the loop to start no more trials, and to end once none runs or so many seconds have passed."""
        self._watchdog.drain(seconds)

    def run(self) -> SweepState:
        """Run the sweep until its budget is spent, it is stopped, or it is interrupted.

        Returns:
            `COMPLETE`, `STOPPED`, or `settings.left_as` after an interruption.

        Raises:
            SweepFailedError: `MAX_FAILURES` trials failed one after the other.
            LeaseLostError: Another controller took the sweep over.
            TrainerError: Trainers cannot be started any more.
        """
        self._restore()
        self._note_progress()
        self._report_progress()
        while not self._is_spent():
            state = self._end_if_due()
            if state is not None:
                return state
            self._advance()
            if self._is_spent():
                break
            events = self._executor.events(TICK_SECONDS)
            with self._turn():
                for event in events:
                    self._handle(event)
                self._end_overdue()
                self._apply_verdicts()  # last: who is told has all verdicts
            if not self._settings.keeps_all_models:
                self._models.remove_beaten(self._incumbents.numbers)
        self._advance()
        return self._end(SweepState.COMPLETE)

    def _is_spent(self) -> bool:
        """Return whether nothing is left to train."""
        return self._trials.n_finished >= self._settings.n_trials or self._order.is_over

    def _restore(self) -> None:
        """Take up the sweep as earlier runs of it have left it in the ledger."""
        self._spent_before = self._lease.spent_seconds()
        self._models.remove_unfinished()
        trials = self._lease.trials()
        self._order.restore(trials, self._lease.study_attrs(), self._reports.read(self._lease))
        for trial in trials:
            if trial.reason is None:
                self._queue.append(self._order.suggestion_of(trial))
                continue
            self._trials.restore(trial.number, (trial.reason, trial.values))
            self._incumbents.add(trial.number, trial.values, trial.val_loss, trial.params)
            self._models.restore(trial.number, trial.model_path)

    def _advance(self) -> None:
        """Tell and ask as far as results allow, hand out what trainers have room for, and store it all at once."""
        told, asked = self._order.advance(self._trials.outcome, self._may_ask)
        with self._turn():
            if told or asked:
                self._writes.advance(told, asked, self._order.study_attrs())
            self._queue.extend(item.suggestion for item in asked)
            if not self._is_spent():
                self._dispatch()
        self._check_failures(told)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Store all changes within at once, and report them then: who hears of a change finds it in the ledger."""
        with self._lease.turn() as self._writes:
            yield
        self._report_progress()

    def _may_ask(self, n_asked: int) -> bool:
        """Return whether the budget allows one more suggestion, given how many were asked."""
        n_open = n_asked - self._trials.n_ended
        return self._trials.n_finished + n_open < self._settings.n_trials

    def _check_failures(self, told: Sequence[Told]) -> None:
        """Give up after too many failures in a row, counted in the order of trials from this run's first.

        Raises:
            SweepFailedError: There were too many.
        """
        for item in told:
            error = self._trials.error(item.number)
            self._n_failures_in_a_row = 0 if error is None else self._n_failures_in_a_row + 1
            if error is not None and self._n_failures_in_a_row >= MAX_FAILURES:
                raise SweepFailedError(f"{MAX_FAILURES} trials in a row failed, the last one with: {error}")

    def _dispatch(self) -> None:
        """Hand queued trials to trainers that have room for them."""
        for suggestion in () if self._watchdog.is_draining else list(self._queue):
            if not self._executor.submit(replace(suggestion, front=self._incumbents.ranks)):
                continue  # a later one may fit into another array
            self._queue.remove(suggestion)
            self._writes.start(suggestion.number, suggestion.attempt)
            now = self._watchdog.now()
            self._trials.hold(Attempt(suggestion, started_at=now, stored_at=now))
            self._note_progress()

    def _handle(self, event: TrainerEvent) -> None:
        if isinstance(event, TrainerLost):
            self._handle_loss(event)
            return
        attempt = self._trials.running_attempt(event.number)
        if isinstance(event, TrialDropped):
            self._trials.release(event.number)
        elif attempt is None or attempt.suggestion.attempt != event.attempt:
            self._discard(event)
        elif isinstance(event, AttemptStarted):
            attempt.hear(self._watchdog.now())
        elif isinstance(event, EpochReport):
            self._take_report(attempt, event)
        else:
            self._take_result(attempt, event)

    def _handle_loss(self, event: TrainerLost) -> None:
        for number in event.numbers:
            attempt = self._trials.running_attempt(number)
            if attempt is not None:
                self._retry_or_kill(attempt, event.error)
        for number in event.leaving:
            self._trials.release(number)

    def _discard(self, event: AttemptStarted | EpochReport | TrialResult) -> None:
        """Take no notice of an attempt that was given up or pruned, but remove its model."""
        if isinstance(event, TrialResult):
            if self._trials.outcome(event.number) is not None:  # its trainer has left it with this
                self._trials.release(event.number)
            self._models.keep(event, is_kept=False)

    def _end_overdue(self) -> None:
        """End trials that train or are silent for too long by ending their trainers; neighbours are trained again."""
        gap = self._watchdog.take_gap()
        for attempt in self._trials.held():
            attempt.pause(gap)
        for attempt in self._trials.held():
            why = self._watchdog.overdue(attempt)
            if why is None or not self._trials.is_held(attempt):  # put back when a neighbour was ended just now
                continue
            neighbours = self._executor.kill(attempt.number)
            if self._trials.outcome(attempt.number) is None:
                self._finish(attempt, attempt.cut_off(self._watchdog.now(), Reason.TIMEOUT, why))
            else:
                self._trials.release(attempt.number)
            for number in neighbours:
                neighbour = self._trials.running_attempt(number)
                if neighbour is not None:
                    self._put_back(neighbour, f"its trainer was ended because of trial {attempt.number}")

    def _take_report(self, attempt: Attempt, report: EpochReport) -> None:
        """Note an epoch, let it be judged, and store the epochs so far if that is due."""
        self._phase = Phase.TRAINING
        attempt.reports.append(report)
        attempt.heard_at = self._watchdog.now()
        self._reports.report(report)
        if self._watchdog.take_update(attempt):
            n_final = self._pruner.n_final(attempt.number, len(attempt.reports))
            self._writes.progress(attempt.number, attempt.curve(n_final))  # MLflow does not forget what it was shown
        self._note_progress()

    def _take_result(self, attempt: Attempt, result: TrialResult) -> None:
        """End a trial, unless the pruner has yet to judge one of its epochs."""
        if not self._pruner.needs_reports:
            self._finish(attempt, result)
            return
        attempt.result = result
        self._reports.report_rest(result)

    def _apply_verdicts(self) -> None:
        """End the trials that are pruned by now, and those that have ended and were judged to their last epoch."""
        for number, epoch in self._pruner.settle():
            attempt = self._trials.running_attempt(number)
            if attempt is not None:  # else it ended otherwise before; that stands, and others are compared with it
                self._prune(attempt, epoch)
        for attempt in self._trials.running():
            if attempt.result is not None and self._pruner.is_fully_judged(attempt.number):
                self._finish(attempt, attempt.result)

    def _prune(self, attempt: Attempt, epoch: int) -> None:
        """End a trial with what it did until it was pruned; its trainer, if it still trains, is asked to leave it."""
        self._finish(attempt, attempt.pruned(self._watchdog.now(), epoch))
        if attempt.result is None:
            self._trials.hold(attempt)  # its trainer has yet to leave it
            self._executor.drop(attempt.number)

    def _finish(self, attempt: Attempt, reported: TrialResult) -> None:
        """Store how a trial ended; the best one's model is in its place before its result is stored."""
        result, values = evaluate(reported, *(objective.metric for objective in self._settings.objectives))
        number, metrics, params = result.number, result.metrics, attempt.suggestion.params
        is_best = self._incumbents.add(number, values, metrics.get("val_loss"), params)
        keeps_all = self._settings.keeps_all_models
        result = self._models.keep(result, is_kept=is_best or (keeps_all and values is not None))
        result = replace(result, findings=diagnose_result(result, params, self._settings.data))
        self._writes.finish(result, values, metrics, None if keeps_all else self._incumbents.numbers)
        self._pruner.end(number, result.reason)
        self._phase, now = Phase.TRAINING, self._watchdog.now()
        self._pace.end(now, attempt.started_at if attempt.began_at is None else attempt.began_at, result.seconds)
        error = result.error or result.reason.value
        self._trials.end(number, (result.reason, values), error if result.reason in _BROKEN else None)
        self._note_progress(TrialEnded(attempt.suggestion, result, values))

    def _retry_or_kill(self, attempt: Attempt, error: str) -> None:
        """Put a trial whose trainer died back in the queue, unless it has cost too many trainers."""
        if self._trials.count_loss(attempt.number) < MAX_ATTEMPTS:
            self._put_back(attempt, error)
            return
        text = f"{error} ({MAX_ATTEMPTS} attempts)"
        self._finish(attempt, attempt.cut_off(self._watchdog.now(), Reason.KILLED, text))

    def _put_back(self, attempt: Attempt, error: str) -> None:
        """Put a trial back at the head of the queue, to be trained anew."""
        suggestion = attempt.suggestion
        self._trials.release(attempt.number)
        self._pruner.forget(attempt.number)
        self._queue.appendleft(replace(suggestion, attempt=suggestion.attempt + 1))
        self._writes.requeue(attempt.number, suggestion.attempt, error)

    def _end_if_due(self) -> SweepState | None:
        """End the sweep if it must end now; return how it was left, or None."""
        if self._watchdog.take_renewal():
            self._renew()
        if self._is_interrupted or self._watchdog.is_drained(len(self._trials.running())):
            return self._end(self._settings.left_as)
        if self._is_stop_requested:
            return self._stop("the sweep was stopped", SweepState.STOPPED)
        limit, target = self._settings.max_seconds, self._settings.target
        if limit is not None and self._spent_before + self._watchdog.seconds() >= limit:
            return self._stop(f"the budget of {limit:g} seconds was spent", SweepState.COMPLETE)
        if self._incumbents.reach(target):
            return self._stop(f"the target of {target:g} was reached", SweepState.COMPLETE, keeps_trainers=True)
        return None

    def _renew(self) -> None:
        """Prolong the lease; note what was learned with it."""
        self._is_stop_requested, self._n_behind, is_moving = self._lease.renew()
        if is_moving or not self._n_behind:
            self._delivered_at = self._watchdog.now()

    def _stop(self, why: str, state: SweepState, *, keeps_trainers: bool = False) -> SweepState:
        """End all running trials, and their trainers unless these have more to train; then the sweep."""
        keeps_trainers = keeps_trainers and self._settings.is_followed
        if not keeps_trainers:
            self._executor.close()
        with self._turn():
            for attempt in self._trials.running():
                if keeps_trainers:
                    self._executor.drop(attempt.number)
                result = attempt.result or attempt.cut_off(self._watchdog.now(), Reason.STOPPED, why)
                self._finish(attempt, result)
        return self._end(state)

    def _end(self, state: SweepState) -> SweepState:
        if self._settings.is_followed and state is SweepState.COMPLETE:
            return state
        left_as = self._lease.end(state)
        self._phase = Phase.DELIVERING
        self._note_progress()
        self._report_progress()
        return left_as

    def _note_progress(self, ended: TrialEnded | None = None) -> None:
        """Note how far the sweep is, to be reported once it is stored."""
        trials, now = self._trials, self._watchdog.now()
        self._unreported.append(
            Progress(
                n_trials=self._settings.n_trials,
                n_finished=trials.n_finished,
                n_failed=trials.n_failed,
                running={attempt.number: len(attempt.reports) for attempt in trials.running()},
                best=self._incumbents.best,
                seconds=self._watchdog.seconds(),
                seconds_left=self._seconds_left(now),
                ended=ended,
                n_behind=self._n_behind,
                n_best=len(self._incumbents.numbers),
                n_pruned=trials.n_pruned,
                n_diverged=trials.n_diverged,
                behind_seconds=now - self._delivered_at if self._n_behind else 0.0,
                phase=self._phase,
                searched=self._settings.searched,
            )
        )

    def _seconds_left(self, now: float) -> float | None:
        """Return an estimate of the seconds until the budget is spent; None while it cannot be known."""
        began_at = [attempt.began_at for attempt in self._trials.running() if attempt.began_at is not None]
        self._pace.hold(now, len(began_at))
        left = self._pace.seconds_left(now, began_at, self._settings.n_trials - self._trials.n_finished)
        limit = self._settings.max_seconds
        if left is None or limit is None:
            return left
        return max(0.0, min(left, limit - self._spent_before - self._watchdog.seconds()))

    def _report_progress(self) -> None:
        """Call `on_progress` with what was noted since the last call."""
        unreported, self._unreported = self._unreported, []
        for progress in unreported:
            self._on_progress(progress)
