"""What a controller changes at once: the writes of a turn, stored by one transaction of its lease."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, update

from dnnsweep.ledger import events, outbox
from dnnsweep.ledger.clock import Moment
from dnnsweep.ledger.columns import to_columns
from dnnsweep.ledger.tables import PARENT, SweepRow, TrialRow
from dnnsweep.ledger.trial_rows import requeue_running, update_trial
from dnnsweep.records import Curve, Reason, State, Suggestion, TrialResult
from dnnsweep.records.events import EventKind
from dnnsweep.redaction import redact

#: A trial that ends sooner is shown in MLflow once, when it has ended.
QUICK_SECONDS: Final = 2.0
#: Reasons that end an attempt anywhere, so that an earlier attempt may have come further.
_CUT_SHORT: Final = (Reason.FAILED, Reason.TIMEOUT, Reason.KILLED, Reason.STOPPED)
#: Columns that a result has by the same name, as a field or a property. They are stored when a trial ends.
_RESULT_COLUMNS: Final = tuple(
    column.name for column in TrialRow.__table__.columns if hasattr(TrialResult, column.name) and not column.primary_key
)
#: A change, made in the transaction that stores the turn.
Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A suggestion and what the sampler remembers about it."""

    suggestion: Suggestion
    system_attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the sampler was told of a trial beside its values.

    Args:
        number: Number of the trial.
        penalty: What was told in place of the values of a diverged trial; None for others.
        system_attrs: What the sampler remembers about the trial.
    """

    number: int
    penalty: tuple[float, ...] | None
    system_attrs: Mapping[str, Any]


class Turn:
    """Changes of one sweep that are stored together, when the turn ends, or not at all.

    Nothing is written before, so a turn may last: it holds no lock. Times are those at which a method was called.

    Args:
        sweep_id: Id of the sweep.
        token: Token of the lease, kept with the trials that it starts.
    """

    def __init__(self, sweep_id: str, token: int) -> None:
        self._sweep_id = sweep_id
        self._token = token
        self._writes: list[Write] = []
        self._is_over = False

    def end(self) -> Sequence[Write]:
        """Return the writes to store; from now on the turn takes no more."""
        self._is_over = True
        return self._writes

    def add(self, write: Write) -> None:
        """Store one more change.

        Raises:
            RuntimeError: The turn has ended.
        """
        if self._is_over:
            raise RuntimeError("a turn that has ended cannot store anything more")
        self._writes.append(write)

    def update_sweep(self, **values: Any) -> None:
        """Set columns of the sweep itself."""

        def write(connection: Connection) -> None:
            update_sweep(connection, self._sweep_id, **values)
            outbox.add_change(connection, self._sweep_id, PARENT)

        self.add(write)

    def advance(self, told: Sequence[Told], asked: Sequence[Asked], study_attrs: Mapping[str, Any]) -> None:
        """Store a step of the study.

        Args:
            told: What the sampler was told.
            asked: What it suggested then.
            study_attrs: What it remembers about the study.
        """
        moment = Moment()

        def write(connection: Connection) -> None:
            rows = [self._new_row(item, moment.ms(connection)) for item in asked]
            update_sweep(connection, self._sweep_id, system_attrs=dict(study_attrs))
            for item in told:
                columns: dict[str, Any] = {
                    **to_columns("penalty", item.penalty),
                    "system_attrs": dict(item.system_attrs),
                }
                update_trial(connection, self._sweep_id, item.number, **columns)
            if rows:
                connection.execute(insert(TrialRow), rows)
                numbers = [row["number"] for row in rows]
                events.record_events(connection, self._sweep_id, EventKind.CREATED, *numbers)
            if told:
                outbox.add_change(connection, self._sweep_id, PARENT)

        self.add(write)

    def _new_row(self, asked: Asked, created_at: int) -> dict[str, Any]:
        suggestion = asked.suggestion
        return {
            "sweep_id": self._sweep_id,
            "number": suggestion.number,
            "state": State.QUEUED,
            "params": dict(suggestion.params),
            "seed": suggestion.seed,
            "metrics": {},
            "epoch_times": [],
            "system_attrs": dict(asked.system_attrs),
            "created_at": created_at,
        }

    def start(self, number: int, attempt: int) -> None:
        """Store that a trainer works on a trial."""
        columns: dict[str, Any] = {
            "state": State.RUNNING,
            "attempts": attempt,
            "token": self._token,
        }
        moment = Moment()

        def write(connection: Connection) -> None:
            update_trial(connection, self._sweep_id, number, **columns, started_at=moment.ms(connection))
            outbox.add_change(connection, self._sweep_id, number, seconds=QUICK_SECONDS)
            events.record_events(connection, self._sweep_id, EventKind.STARTED, number, attempt=attempt)

        self.add(write)

    def progress(self, number: int, curve: Curve) -> None:
        """Store the epochs that a running trial has trained so far."""

        def write(connection: Connection) -> None:
            update_trial(connection, self._sweep_id, number, curve)
            outbox.add_change(connection, self._sweep_id, number)

        self.add(write)

    def finish(
        self,
        result: TrialResult,
        values: tuple[float, ...] | None,
        metrics: Mapping[str, float],
        kept: Collection[int] | None = (),
    ) -> None:
        """Store how a trial ended: result, curve, event and outbox entry.

        Args:
            result: The trainer's result.
            values: The value of each objective at the best epoch; None unless the trial is complete.
            metrics: All metrics at the best epoch.
            kept: Trials whose models are kept beside this one's, if it has one; None for all.
        """
        columns, moment = _ending_columns(result, values, metrics), Moment()

        def write(connection: Connection) -> None:
            # Nothing beats it so far, so that the models of those that it beats are kept no more.
            if result.model_path is not None and kept is not None:
                has_model = (TrialRow.sweep_id == self._sweep_id, TrialRow.model_path.is_not(None))
                beaten = update(TrialRow).where(*has_model, TrialRow.number.not_in(list(kept)))
                connection.execute(beaten.values(model_path=None))
            ended_at = moment.ms(connection)
            update_trial(
                connection,
                self._sweep_id,
                result.number,
                result.curve,
                is_final=result.reason not in _CUT_SHORT,
                **columns,
                ended_at=ended_at,
            )
            outbox.add_change(connection, self._sweep_id, result.number)
            how = f"{result.reason}: {result.error}" if result.error else result.reason.value
            kind, attempt = EventKind.ENDED, result.attempt
            events.record_events(connection, self._sweep_id, kind, result.number, attempt=attempt, detail=how)

        self.add(write)

    def requeue(self, number: int, attempt: int, error: str) -> None:
        """Put a running trial whose attempt was lost back in the queue: same number, same parameters, same seed."""

        def write(connection: Connection) -> None:
            requeue_running(connection, self._sweep_id, TrialRow.number == number)
            events.record_events(connection, self._sweep_id, EventKind.LOST, number, attempt=attempt, detail=error)

        self.add(write)


def update_sweep(connection: Connection, sweep_id: str, **values: Any) -> None:
    """Set columns of a sweep, in a transaction of the caller's."""
    connection.execute(update(SweepRow).where(SweepRow.id == sweep_id).values(values))


def _ending_columns(
    result: TrialResult, values: tuple[float, ...] | None, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Return the columns of a trial that has ended, except when."""
    finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
    return {name: getattr(result, name) for name in _RESULT_COLUMNS} | {
        "state": result.reason.state,
        **to_columns("value", values),
        "val_loss": finite.get("val_loss"),
        "metrics": finite,
        "findings": [finding.to_json() for finding in result.findings],
        "error": None if result.error is None else redact(result.error),
    }
