"""How long an attempt at a trial may take, and what does not count: pure functions of the clock's readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from fake_clock import FakeClock

from dnnsweep.executors import TrainerEvent
from dnnsweep.ledger import Ledger, NewSweep
from dnnsweep.records import (
    AttemptStarted,
    Curve,
    DataSummary,
    EpochReport,
    Objective,
    Reason,
    Series,
    Suggestion,
    Task,
    TrialResult,
)
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller import Controller, ControllerSettings, FixedOrder
from dnnsweep.runner.controller.attempts import TIMEOUT_GRACE_SECONDS, Attempt
from dnnsweep.space import Hyperparameters, Range
from dnnsweep.study import Study
from dnnsweep.trainers import TrainerPlan, TrainerReady

TRIAL = Suggestion(3, MappingProxyType({"dropout": 0.1}), seed=7)
RESULT = TrialResult(3, 1, Reason.COMPLETED, Curve((Series("val_loss", (0.5,)),), (10,)), 1, 1.0)


def attempt(began_at: float | None = 100.0, heard_at: float = 100.0) -> Attempt:
    return Attempt(TRIAL, started_at=90.0, stored_at=90.0, began_at=began_at, heard_at=heard_at)


TOO_LONG, SILENT = "it trained longer than training.timeout_seconds = 30", "resources.silence_seconds = 5"


@pytest.mark.parametrize(
    ("heard_at", "now", "limit", "silence", "why"),
    [
        # it began at 100; with a limit of 30 s its trainer should end it at 130, and has until 140 to do so
        (129.0, 130.0, 30.0, 60.0, None),
        (129.0, 131.0, 30.0, 60.0, None),
        (139.0, 139.9, 30.0, 60.0, None),
        (140.0, 140.0, 30.0, 60.0, None),
        (140.0, 140.1, 30.0, 60.0, TOO_LONG),
        (500.0, 500.0, 30.0, 60.0, TOO_LONG),
        # without a limit it may train for ever, as long as it is heard of
        (1e6, 1e6, None, 60.0, None),
        # heard of at 110; silent for 5 s at 115, and too long after that: no grace is given here
        (110.0, 115.0, None, 5.0, None),
        (110.0, 115.1, None, 5.0, SILENT),
        (110.0, 115.1, 30.0, 5.0, SILENT),
        # both: the limit is named
        (110.0, 141.0, 30.0, 5.0, TOO_LONG),
    ],
)
def test_an_attempt_is_overdue_past_its_limit_and_the_grace_or_past_its_silence(
    heard_at: float, now: float, limit: float | None, silence: float, why: str | None
) -> None:
    assert TIMEOUT_GRACE_SECONDS == 10.0

    told = attempt(heard_at=heard_at).overdue(now, limit, silence)

    if why is None:
        assert told is None
    else:
        assert why in str(told)


def test_an_attempt_that_its_trainer_has_not_begun_is_never_overdue() -> None:
    assert attempt(began_at=None, heard_at=0.0).overdue(1e9, limit=1.0, silence=1.0) is None


def test_an_attempt_that_has_its_result_is_never_overdue() -> None:
    ended = attempt()
    ended.result = RESULT

    assert ended.overdue(1e9, limit=1.0, silence=1.0) is None


@pytest.mark.parametrize(("now", "is_overdue"), [(140.0, False), (160.0, False), (160.1, True)])
def test_a_time_in_which_nobody_listened_prolongs_the_limit_by_itself(now: float, is_overdue: bool) -> None:
    held_up = attempt(heard_at=150.0)

    held_up.pause(20.0)

    assert (held_up.overdue(now, limit=30.0, silence=1e9) is not None) == is_overdue  # 100 + 30 + 10 + 20


@pytest.mark.parametrize(("now", "is_overdue"), [(125.0, False), (125.1, True)])
def test_a_time_in_which_nobody_listened_is_no_silence(now: float, is_overdue: bool) -> None:
    held_up = attempt(heard_at=100.0)

    held_up.pause(20.0)

    assert (held_up.overdue(now, limit=None, silence=5.0) is not None) == is_overdue  # 100 + 5 + 20


def test_an_attempt_that_has_not_begun_has_no_time_to_leave_out() -> None:
    waiting = attempt(began_at=None)

    waiting.pause(20.0)

    assert waiting.began_at is None


# -- in the controller


Step = tuple[float, bool]  # seconds that pass while the controller waits, and whether the trial says something then


class Timed:
    """An executor of one trial.

    Args:
        clock: Goes on while the controller waits.
        steps: What happens after the trial has begun; then it ends.
    """

    def __init__(self, clock: FakeClock, steps: Sequence[Step]) -> None:
        self._clock = clock
        self._steps = [(0.0, False), *steps]
        self._running: Suggestion | None = None
        self._epoch = 0
        self.killed: list[int] = []
        self.memory_mb: list[tuple[int, float]] = []
        self.slot_epochs = (0, 0)

    def open(
        self,
        on_wait: Callable[[], None] = lambda: None,  # noqa: ARG002  it loads no data
        on_phase: Callable[[Phase], None] = lambda _: None,  # noqa: ARG002
    ) -> TrainerReady:
        return TrainerReady(DATA, TrainerPlan("timed"))

    def submit(self, suggestion: Suggestion) -> bool:
        if self._running is not None:
            return False
        self._running = suggestion
        return True

    def events(self, timeout: float) -> Sequence[TrainerEvent]:  # noqa: ARG002
        if self._running is None:
            return []
        number, tries = self._running.number, self._running.attempt
        if not self._steps:
            self._running = None
            return [replace(RESULT, number=number, attempt=tries)]
        seconds, says_something = self._steps.pop(0)
        self._clock.advance(seconds)
        if seconds == 0.0:
            return [AttemptStarted(number, tries)]
        self._epoch += says_something
        return [EpochReport(number, tries, self._epoch, {"val_loss": 0.5}, 10)] if says_something else []

    def kill(self, number: int) -> tuple[int, ...]:
        self.killed.append(number)
        self._running = None
        return ()

    def drop(self, number: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._running = None


DATA = DataSummary("f" * 64, Task.MULTICLASS, 4, ("a",), ("0", "1", "2"), 60, 20, 20)
OBJECTIVES = (Objective("val_loss", "minimize"),)
SPEC = {"name": "sweep", "dataset": {"source": "sklearn:iris"}, "budget": {"trials": 1}}


def reason_of(executor: Timed, clock: FakeClock, folder: Path, timeout: float | None, silence: float) -> Reason | None:
    """Run a sweep of one trial; return how it ended."""
    with closing(Ledger.open(f"sqlite:///{folder / 'dnnsweep.db'}", create=True)) as ledger:
        lease = ledger.begin(NewSweep("sweep", SPEC, {}, "d" * 64, DATA, 4, OBJECTIVES))
        defaults = Hyperparameters().to_params()
        order = FixedOrder(Study({"dropout": Range(0.0, 0.6)}, "minimize", "random", 0), defaults, 0, 4)
        settings = ControllerSettings(OBJECTIVES, 1, None, folder, timeout=timeout, silence=silence)
        Controller(settings, lease, order, executor, clock=clock).run()
        return ledger.trial("sweep", 0).reason


@pytest.mark.parametrize(
    ("steps", "timeout", "silence", "reason"),
    [
        ([(1.0, False)] * 4, None, 5.0, Reason.COMPLETED),
        ([(1.0, False)] * 6, None, 5.0, Reason.TIMEOUT),
        ([(20.0, False)], None, 5.0, Reason.COMPLETED),  # the controller itself was held up, and heard nothing
        ([(20.0, False), *[(1.0, False)] * 6], None, 5.0, Reason.TIMEOUT),
        ([(4.0, True)] * 10, 30.0, 5.0, Reason.COMPLETED),  # 40 s: the limit and the grace
        ([(4.0, True)] * 11, 30.0, 5.0, Reason.TIMEOUT),
        ([(4.0, True)] * 5 + [(20.0, False)] + [(4.0, True)] * 5, 30.0, 5.0, Reason.COMPLETED),  # 60 s, 20 held up
        ([(4.0, True)] * 5 + [(20.0, False)] + [(4.0, True)] * 6, 30.0, 5.0, Reason.TIMEOUT),
    ],
)
def test_a_trial_is_ended_by_force_for_its_own_time_and_not_for_the_controllers(
    tmp_path: Path,
    steps: Sequence[Step],
    timeout: float | None,
    silence: float,
    reason: Reason,
) -> None:
    clock = FakeClock()
    executor = Timed(clock, steps)

    assert reason_of(executor, clock, tmp_path, timeout, silence) is reason
    assert executor.killed == ([0] if reason is Reason.TIMEOUT else [])
