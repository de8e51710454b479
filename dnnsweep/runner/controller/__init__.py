"""The loop of a sweep: ask, dispatch, report, tell. It owns the sweep while it holds the lease."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dnnsweep.errors import LedgerAwayError, SweepFailedError
from dnnsweep.executors import Executor, TrainerEvent, TrainerLost, TrialDropped
from dnnsweep.ledger import Lease, StudyTrial, Told, Turn
from dnnsweep.records import AttemptStarted, EpochReport, Objective, Reason, Suggestion, SweepState, TrialResult
from dnnsweep.redaction import redact
from dnnsweep.runner.controller.attempts import Attempt
from dnnsweep.runner.controller.models import Models
from dnnsweep.runner.controller.order import FixedOrder
from dnnsweep.runner.controller.progress import Best, Ended, Progress, Standing, judged
from dnnsweep.runner.controller.pruning_reports import Verdicts

__all__ = ["Best", "Controller", "Ended", "FixedOrder", "Plan", "Progress", "abandon"]

#: How often a trial may lose its trainer before it counts as killed.
MAX_ATTEMPTS: Final = 3
#: How many trials may fail one after the other, in the order of trials, before the sweep is given up.
MAX_FAILURES: Final = 10
#: How often trials that last long are brought up to date in the ledger and in MLflow.
PROGRESS_SECONDS: Final = 10.0
#: How often the lease is prolonged and a wish to stop is looked for.
RENEW_SECONDS: Final = 2.0
TICK_SECONDS: Final = 0.2
#: Longer than this between two looks at the clock, the controller itself was held up.
ATTENTION_SECONDS: Final = 5.0
_BROKEN: Final = (Reason.FAILED, Reason.KILLED)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the controller needs to know beside the study.

    Args:
        objectives: What the sweep improves: one objective, or two.
        n_trials: Trials that shall end in the budget.
        max_seconds: Wall time over all runs of the sweep; None without bound.
        timeout: Seconds that a trial may train; its trainer ends it, and is killed if it does not.
        silence: Seconds that a trial may report nothing.
        target: A value as good as this ends the sweep; None for no such value.
        models: Folder of the trainers' models; those of trials that no other beats stay there.
        left_as: The state in which an interrupted sweep is left.
    """

    objectives: tuple[Objective, ...]
    n_trials: int
    max_seconds: float | None
    models: Path
    timeout: float | None = None
    silence: float = math.inf
    target: float | None = None
    left_as: SweepState = SweepState.INTERRUPTED


def abandon(lease: Lease, error: BaseException) -> None:
    """Note why a sweep could not go on, put its running trials back in the queue, and give the lease back."""
    state = SweepState.FAILED if isinstance(error, Exception) else SweepState.INTERRUPTED
    lease.end(state, redact(str(error)) or None, is_patient=not isinstance(error, LedgerAwayError))


class Controller:
    """Runs one sweep to its end.

    Args:
        plan: What to do.
        lease: The right to write the sweep.
        order: Around a fresh study, which is rebuilt from the ledger here.
        executor: Opened.
        on_progress: Called after each change, in this thread.
    """

    def __init__(
        self,
        plan: Plan,
        lease: Lease,
        order: FixedOrder,
        executor: Executor,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._lease = lease
        self._writes: Turn  # what the present turn stores; made by `_turn`
        self._order = order
        self._pruning = order.pruning
        self._verdicts = None if order.pruning is None else Verdicts(order.pruning, plan.objectives[0].metric)
        self._executor = executor
        self._on_progress = on_progress
        self._standing = Standing(*(one.direction for one in plan.objectives))
        self._queue: deque[Suggestion] = deque()
        self._running: dict[int, Attempt] = {}
        self._leaving: dict[int, Attempt] = {}
        self._outcomes: dict[int, tuple[Reason, tuple[float, ...] | None]] = {}
        self._n_lost: dict[int, int] = {}
        self._errors: dict[int, str] = {}
        self._models = Models(plan.models)
        self._news: list[Progress] = []
        self._n_failures_in_a_row = 0
        self._n_ended_here = 0
        self._spent_before = 0.0
        self._began = self._renewed = time.monotonic()
        self._is_interrupted = False
        self._drained_by = math.inf
        self._is_stop_requested = False
        self._n_behind = 0
        self._looked_at = time.monotonic()

    def interrupt(self) -> None:
        """Ask the loop to end at the next safe point; running trials go back to the queue."""
        self._is_interrupted = True

    def drain(self, seconds: float) -> None:
        """Ask the loop to start no more trials, and to end once none runs or so many seconds have passed."""
        self._drained_by = time.monotonic() + seconds

    def run(self) -> SweepState:
        """Run the sweep until its budget is spent, it is stopped, or it is interrupted.

        Returns:
            `COMPLETE`, `STOPPED`, or the plan's `left_as` after an interruption.

        Raises:
            SweepFailedError: `MAX_FAILURES` trials failed one after the other.
            LeaseLostError: Another controller took the sweep over.
            TrainerError: Trainers cannot be started any more.
        """
        self._spent_before = self._lease.spent_seconds()
        self._models.forget_unfinished()
        self._restore(self._lease.trials())
        self._say()
        self._announce()
        while self._standing.n_finished < self._plan.n_trials:
            state = self._verdict()
            if state is not None:
                return state
            self._advance()
            events = self._executor.events(TICK_SECONDS)
            with self._turn():
                for event in events:
                    self._handle(event)
                self._end_overdue()
                self._settle()  # last: who is told has all verdicts
            self._models.forget_beaten(self._standing.kept)
        self._advance()
        return self._end(SweepState.COMPLETE)

    def _restore(self, trials: Sequence[StudyTrial]) -> None:
        values = {}
        if self._verdicts is not None:
            known = self._lease.epochs(*self._verdicts.needs)
            values = {number: list(self._verdicts.values(epochs)) for number, epochs in known.items()}
        self._order.restore(trials, self._lease.study_attrs(), values)
        for trial in trials:
            if trial.reason is None:
                self._queue.append(Suggestion(trial.number, trial.params, trial.seed, trial.attempts + 1))
                continue
            self._outcomes[trial.number] = (trial.reason, trial.values)
            self._standing.count(trial.reason)
            self._standing.contend(trial.number, trial.values, trial.val_loss, trial.params)
            self._models.know(trial.number, trial.model_path)

    def _advance(self) -> None:
        """Tell and ask as far as results allow, hand out what trainers have room for, and store it all at once."""
        told, asked = self._order.advance(self._outcomes, self._may_ask)
        with self._turn():
            if told or asked:
                self._writes.advance(told, asked, self._order.study_attrs())
            self._queue.extend(item.suggestion for item in asked)
            if self._standing.n_finished < self._plan.n_trials:
                self._dispatch()
        self._check_failures(told)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Store all changes within at once, and say them then: who hears of one shall find it in the ledger."""
        with self._lease.turn() as self._writes:
            yield
        self._announce()

    def _announce(self) -> None:
        news, self._news = self._news, []
        for progress in news:
            self._on_progress(progress)

    def _may_ask(self, n_asked: int) -> bool:
        n_open = n_asked - len(self._outcomes)
        return self._standing.n_finished + n_open < self._plan.n_trials

    def _check_failures(self, told: Sequence[Told]) -> None:
        """Give up after too many failures in a row; counted in the order of trials, from this run's first."""
        for item in told:
            error = self._errors.get(item.number)
            self._n_failures_in_a_row = 0 if error is None else self._n_failures_in_a_row + 1
            if error is not None and self._n_failures_in_a_row >= MAX_FAILURES:
                raise SweepFailedError(f"{MAX_FAILURES} trials in a row failed, the last one with: {error}")

    def _dispatch(self) -> None:
        for suggestion in list(self._queue) if self._drained_by == math.inf else ():
            if not self._executor.submit(replace(suggestion, front=self._standing.to_beat)):
                continue  # a later one may fit into another array
            self._queue.remove(suggestion)
            self._writes.start(suggestion.number, suggestion.attempt)
            now = time.monotonic()
            self._running[suggestion.number] = Attempt(suggestion, now, now)
            self._say()

    def _handle(self, event: TrainerEvent) -> None:
        match event:
            case TrainerLost(numbers=numbers, error=error, leaving=leaving):
                for number in numbers:
                    self._lose(number, error)
                for number in leaving:
                    self._leaving.pop(number, None)
            case TrialDropped(number=number):
                self._leaving.pop(number, None)
            case TrialResult() if not self._is_expected(event):
                self._leaving.pop(event.number, None)
                self._models.keep(event, is_best=False)
            case AttemptStarted() | EpochReport() | TrialResult() if not self._is_expected(event):
                pass  # of an attempt that was given up, or pruned
            case AttemptStarted():
                trial = self._running[event.number]
                trial.began_at = trial.heard_at = time.monotonic()
            case EpochReport():
                self._report(event)
            case TrialResult():
                self._conclude(event)

    def _is_expected(self, event: AttemptStarted | EpochReport | TrialResult) -> bool:
        trial = self._running.get(event.number)
        return trial is not None and trial.suggestion.attempt == event.attempt

    def _end_overdue(self) -> None:
        """End trials that train or are silent for too long by ending their trainers; neighbours are trained again."""
        now = time.monotonic()
        gap, self._looked_at = now - self._looked_at, now
        for number, trial in [*self._running.items(), *self._leaving.items()]:
            if gap > ATTENTION_SECONDS:  # this process was held up, and with it what trainers had to say
                trial.pause(gap)
            why = trial.overdue(now, self._plan.timeout, self._plan.silence)
            if why is None or trial not in (self._running.get(number), self._leaving.get(number)):
                continue
            others = self._executor.kill(number)
            if self._leaving.pop(number, None) is None:
                self._finish(trial.cut_off(Reason.TIMEOUT, why))
            for other in others:
                self._put_back(other, f"its trainer was ended because of trial {number}")

    def _report(self, report: EpochReport) -> None:
        trial = self._running[report.number]
        trial.reports.append(report)
        n_certain = len(trial.reports)
        if self._pruning is not None and self._verdicts is not None:
            self._verdicts.report(report)
            n_certain = self._pruning.n_judged(report.number)  # MLflow does not forget what it was shown
        now = trial.heard_at = time.monotonic()
        if now - trial.stored_at >= PROGRESS_SECONDS:
            self._writes.progress(report.number, trial.curve(n_certain))
            trial.stored_at = now
        self._say()

    def _conclude(self, result: TrialResult) -> None:
        """Store how a trial ended; where trials are pruned, not before every epoch of it was judged."""
        if self._verdicts is None:
            self._finish(result)
            return
        self._verdicts.conclude(result)
        self._running[result.number].result = result

    def _settle(self) -> None:
        """Prune what is to be pruned by now, and store the ends of trials that were judged to their last epoch."""
        if self._pruning is None:
            return
        for number, epoch in self._pruning.settle():
            trial = self._running.get(number)  # None: it ended otherwise before; that stands, and others are compared
            if trial is not None:  # with what it did until it would have been pruned
                self._finish(trial.pruned(epoch))
            if trial is not None and trial.result is None:
                self._leaving[number] = trial
                self._executor.drop(number)
        for number, trial in list(self._running.items()):
            if trial.result is not None and self._pruning.is_fully_judged(number):
                self._finish(trial.result)

    def _finish(self, reported: TrialResult) -> None:
        """Store how a trial ended; the best one's model is in its place before its result is stored."""
        suggestion = self._running[reported.number].suggestion
        result, values = judged(reported, *(one.metric for one in self._plan.objectives))
        metrics = result.metrics
        is_best = self._standing.contend(result.number, values, metrics.get("val_loss"), suggestion.params)
        result = self._models.keep(result, is_best=is_best)
        self._writes.finish(result, values, metrics, self._standing.kept)
        if self._pruning is not None:
            self._pruning.end(result.number, result.reason)
        del self._running[result.number]
        self._outcomes[result.number] = (result.reason, values)
        self._standing.count(result.reason)
        self._n_ended_here += 1
        if result.reason in _BROKEN:
            self._errors[result.number] = result.error or result.reason
        self._say(Ended(suggestion, result, values))

    def _lose(self, number: int, error: str) -> None:
        """Put a trial whose trainer died back in the queue, unless it has cost too many trainers."""
        trial = self._running[number]
        self._n_lost[number] = self._n_lost.get(number, 0) + 1
        if self._n_lost[number] >= MAX_ATTEMPTS:
            self._finish(trial.cut_off(Reason.KILLED, f"{error} ({MAX_ATTEMPTS} attempts)"))
            return
        self._put_back(number, error)

    def _put_back(self, number: int, error: str) -> None:
        trial = self._running.pop(number)
        if self._pruning is not None:
            self._pruning.forget(number)
        self._queue.appendleft(replace(trial.suggestion, attempt=trial.suggestion.attempt + 1))
        self._writes.requeue(number, trial.suggestion.attempt, error)

    def _verdict(self) -> SweepState | None:
        """End the sweep if it must end now; return how it ended."""
        now = time.monotonic()
        if now - self._renewed >= RENEW_SECONDS:
            self._is_stop_requested, self._n_behind = self._lease.renew()
            self._renewed = now
        is_drained = self._drained_by < math.inf and (not self._running or now >= self._drained_by)
        if self._is_interrupted or is_drained:
            return self._end(self._plan.left_as)
        if self._is_stop_requested:
            return self._stop("the sweep was stopped", SweepState.STOPPED)
        limit = self._plan.max_seconds
        if limit is not None and self._spent_before + now - self._began >= limit:
            return self._stop(f"the budget of {limit:g} seconds was spent", SweepState.COMPLETE)
        if self._standing.reaches(self._plan.target):
            return self._stop(f"the target of {self._plan.target:g} was reached", SweepState.COMPLETE)
        return None

    def _stop(self, why: str, state: SweepState) -> SweepState:
        self._executor.close()
        with self._turn():
            for trial in list(self._running.values()):
                self._finish(trial.result or trial.cut_off(Reason.STOPPED, why))
        return self._end(state)

    def _end(self, state: SweepState) -> SweepState:
        left = self._lease.end(state)
        self._say()
        self._announce()
        return left

    def _say(self, ended: Ended | None = None) -> None:
        seconds = time.monotonic() - self._began
        n_left = self._plan.n_trials - self._standing.n_finished
        self._news.append(
            Progress(
                n_trials=self._plan.n_trials,
                n_finished=self._standing.n_finished,
                n_failed=self._standing.n_failed,
                running={number: len(trial.reports) for number, trial in self._running.items()},
                best=self._standing.best,
                seconds=seconds,
                seconds_left=seconds / self._n_ended_here * n_left if self._n_ended_here else None,
                ended=ended,
                n_behind=self._n_behind,
                n_best=len(self._standing.kept),
                n_pruned=self._standing.n_pruned,
            )
        )
