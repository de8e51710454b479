"""The repeats of a leased sweep, written in turns like trials, under the same lease."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, insert

from dnnsweep.ledger import outbox, repeat_rows
from dnnsweep.ledger.clock import Moment, now_ms
from dnnsweep.ledger.lease import Lease, Renewal, StudyTrial
from dnnsweep.ledger.tables import RepeatRow
from dnnsweep.ledger.turn import Asked, Told, Turn
from dnnsweep.records import Candidate, Curve, Purpose, Reason, Repeat, State, SweepState, TestAnswers, TrialResult
from dnnsweep.redaction import redact

#: Trainers know a trial by its number; those of repeats are behind those of all trials.
FIRST_NUMBER: Final = 10**8
#: What an order of repeats tells with a suggestion: the number of its candidate, and the block.
CANDIDATE: Final = "candidate"
BLOCK: Final = "block"
#: How long MLflow may wait for the repeats of a candidate: each of many ends again and again, within a second.
SHOWN_SECONDS: Final = 60.0


class RepeatLease:
    """What a controller asks of a lease, for the repeats of a sweep instead of its trials.

    Args:
        lease: The lease on the sweep.

    Attributes:
        candidates: The candidates, by number.
        repeats: The repeats in their order, as far as they are stored.
        tests: What retrained networks answered for the test rows, by the number of the repeat. It is not stored.
        models: Names of the files with models of retrained networks, by the number of the repeat.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.candidates, self.repeats = lease.read(_read_all)
        self.tests: dict[int, TestAnswers] = {}
        self.models: dict[int, str] = {}

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Store candidates that are new."""
        with self._lease.turn() as turn:
            turn.add(lambda connection: repeat_rows.insert_candidates(connection, self._lease.sweep_id, candidates))
        self.candidates += candidates

    @contextmanager
    def turn(self) -> Iterator[RepeatTurn]:
        """Yield what writes are given to; see `Lease.turn`."""
        with self._lease.turn() as turn:
            yield RepeatTurn(self._lease.sweep_id, turn, self)

    def trials(self) -> list[StudyTrial]:
        """Return all repeats in their order, as a controller takes them up."""
        return [self._study_trial(repeat) for repeat in self.repeats]

    def _study_trial(self, repeat: Repeat) -> StudyTrial:
        return StudyTrial(
            number=FIRST_NUMBER + repeat.number,
            params=self.candidates[repeat.candidate].params,
            seed=repeat.seed,
            attempts=repeat.attempts,
            state=repeat.state,
            reason=repeat.reason,
            values=None if repeat.value is None else (repeat.value,),
            val_loss=(repeat.metrics or {}).get("val_loss"),
            penalty=None,
            system_attrs={CANDIDATE: repeat.candidate, BLOCK: repeat.block},
            error=repeat.error,
        )

    def open_test(self, test_rows: str, configuration: str) -> int:
        """Record that test rows are opened for a configuration; return how often they were opened in this ledger.

        Args:
            test_rows: Tells these test rows from all others.
            configuration: Tells the configuration from all others; opening for the same one again counts once.
        """
        own = (test_rows, self._lease.sweep_id, configuration)
        with self._lease.turn() as turn:
            turn.add(lambda connection: repeat_rows.record_opening(connection, *own))
        return self._lease.read(lambda connection, _: repeat_rows.count_openings(connection, test_rows))

    def store_answer(self, answer: Mapping[str, Any]) -> None:
        """Store what the sweep answers, which MLflow may show from now on."""
        with self._lease.turn() as turn:
            turn.update_sweep(answer=dict(answer))

    def answer(self) -> Mapping[str, Any]:
        """Return what the sweep has answered so far; {} for nothing."""
        return self._lease.read(repeat_rows.read_answer)

    def close_unfinished_retrainings(self) -> None:
        """Store that retrainings which an earlier run has left never end.

        What others of them have answered for the test rows is lost, so that all are trained again, as new ones.
        """
        columns: dict[str, Any] = {"state": State.FAILED, "reason": Reason.STOPPED}
        retrained = {one.number for one in self.candidates if one.purpose is Purpose.RETRAIN}
        left = [repeat for repeat in self.repeats if repeat.candidate in retrained and repeat.reason is None]

        def write(connection: Connection) -> None:
            for repeat in left:
                repeat_rows.update_repeat(connection, self._lease.sweep_id, repeat.number, **columns)
            shown = {outbox.outbox_number(repeat.candidate) for repeat in left}
            outbox.add_change(connection, self._lease.sweep_id, *sorted(shown), seconds=SHOWN_SECONDS)

        if left:
            with self._lease.turn() as turn:
                turn.add(write)
        for repeat in left:
            self.repeats[repeat.number] = replace(repeat, **columns)

    def study_attrs(self) -> dict[str, Any]:
        """Return nothing: no sampler asks for repeats."""
        return {}

    def epochs(self, *_metrics: str) -> dict[int, list[dict[str, float]]]:
        """Return nothing: curves of repeats are not kept."""
        return {}

    def spent_seconds(self) -> float:
        """Return the wall time over all runs of the sweep."""
        return self._lease.spent_seconds()

    def renew(self) -> Renewal:
        """Renew the lease."""
        return self._lease.renew()

    def end(self, state: SweepState) -> SweepState:
        """Return the state: the lease goes on."""
        return state


class RepeatTurn:
    """Changes of repeats that are stored together; see `Turn`.

    Args:
        sweep_id: Id of the sweep.
        turn: Stores the writes.
        lease: Knows the repeats as they will be stored.
    """

    def __init__(self, sweep_id: str, turn: Turn, lease: RepeatLease) -> None:
        self._sweep_id = sweep_id
        self._turn = turn
        self._lease = lease

    def advance(self, told: Sequence[Told], asked: Sequence[Asked], study_attrs: Mapping[str, Any]) -> None:  # noqa: ARG002  what a study would need
        """Store repeats that are to be trained."""
        new = [_new_repeat(item) for item in asked]
        self._lease.repeats += new

        def write(connection: Connection) -> None:
            created_at = now_ms(connection)
            rows = [
                {
                    "sweep_id": self._sweep_id,
                    "number": repeat.number,
                    "candidate": repeat.candidate,
                    "block": repeat.block,
                    "seed": repeat.seed,
                    "state": State.QUEUED,
                    "metrics": {},
                    "created_at": created_at,
                }
                for repeat in new
            ]
            connection.execute(insert(RepeatRow), rows)

        if new:
            self._turn.add(write)

    def start(self, number: int, attempt: int) -> None:
        """Store that a trainer works on a repeat."""
        moment = Moment()
        own = self._change(number, state=State.RUNNING, attempts=attempt)

        def write(connection: Connection) -> None:
            values = {"state": State.RUNNING, "attempts": attempt, "started_at": moment.ms(connection)}
            repeat_rows.update_repeat(connection, self._sweep_id, own.number, **values)

        self._turn.add(write)

    def progress(self, number: int, curve: Curve) -> None:
        """Store nothing: curves of repeats are not kept."""

    def finish(
        self,
        result: TrialResult,
        values: tuple[float, ...] | None,
        metrics: Mapping[str, float],
        kept: Collection[int] | None = (),  # noqa: ARG002  no model of a repeat makes another one worthless
    ) -> None:
        """Store how a repeat ended; one that was stopped is trained again when the sweep goes on."""
        if result.reason is Reason.STOPPED:
            self.requeue(result.number, result.attempt, "")
            return
        columns: dict[str, Any] = {
            "state": result.reason.state,
            "reason": result.reason,
            "value": None if values is None else values[0],
            "metrics": {name: number for name, number in metrics.items() if math.isfinite(number)},
            "best_epoch": result.best_epoch,
            "epochs": result.curve.n_epochs,
            "seconds": result.seconds,
            "error": None if result.error is None else redact(result.error),
        }
        own, moment = self._change(result.number, **columns), Moment()
        self._collect(own.number, result)

        def write(connection: Connection) -> None:
            ended_at = moment.ms(connection)
            repeat_rows.update_repeat(connection, self._sweep_id, own.number, **columns, ended_at=ended_at)
            shown = outbox.outbox_number(own.candidate)
            outbox.add_change(connection, self._sweep_id, shown, seconds=SHOWN_SECONDS)

        self._turn.add(write)

    def _collect(self, number: int, result: TrialResult) -> None:
        if result.test is not None:
            self._lease.tests[number] = result.test
        if result.model_path is not None:
            self._lease.models[number] = result.model_path

    def requeue(self, number: int, attempt: int, error: str) -> None:  # noqa: ARG002  repeats have no events
        """Put a running repeat back in the queue."""
        own = self._change(number, state=State.QUEUED)

        def write(connection: Connection) -> None:
            repeat_rows.update_repeat(connection, self._sweep_id, own.number, state=State.QUEUED)

        self._turn.add(write)

    def _change(self, number: int, **values: Any) -> Repeat:
        """Return a repeat as it will be stored, and note it."""
        index = number - FIRST_NUMBER
        self._lease.repeats[index] = replace(self._lease.repeats[index], **values)
        return self._lease.repeats[index]


def _new_repeat(asked: Asked) -> Repeat:
    suggestion = asked.suggestion
    candidate, block = asked.system_attrs[CANDIDATE], asked.system_attrs[BLOCK]
    return Repeat(suggestion.number - FIRST_NUMBER, candidate, block, suggestion.seed)


def _read_all(connection: Connection, sweep_id: str) -> tuple[list[Candidate], list[Repeat]]:
    return repeat_rows.read_candidates(connection, sweep_id), repeat_rows.read_repeats(connection, sweep_id)
