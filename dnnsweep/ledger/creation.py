"""The columns of a sweep: those stored when it is created, and those that may change later."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row

from dnnsweep.errors import SweepConflictError
from dnnsweep.ledger import checks
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.columns import objective_columns
from dnnsweep.records import DataSummary, Objective, SweepState, encode_traits

if TYPE_CHECKING:  # commands that only read load no models of the sweep file
    from dnnsweep.spec import SweepSpec

#: What `Ledger.begin` replaces in a sweep that exists.
_REPLACED: Final = (
    "spec", "description", "n_trials", "priority", "state", "error", "ended_at", "queued_at", "is_stop_requested",
    "stopped_by",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewSweep:
    """A sweep to be stored.

    Args:
        name: Name of the sweep, unique in the ledger.
        spec: The sweep file, resolved, as plain JSON.
        identity: The part of the file that identifies the sweep.
        digest: SHA-256 of the identity.
        data: Summary of the data; None until they are loaded.
        window: How many suggestions may be ahead of the results told.
        objectives: What the sweep improves: one objective or two.
        trainer: How its trials are trained; `auto` until that is decided.
        slots: How many of them are trained side by side.
        device: What they are trained on, `cpu` or `gpu`.
    """

    name: str
    spec: Mapping[str, Any]
    identity: Mapping[str, Any]
    digest: str
    data: DataSummary | None
    window: int
    objectives: tuple[Objective, ...]
    trainer: str = "fit"
    slots: int = 1
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        spec: SweepSpec,
        data: DataSummary | None = None,
        *,
        trainer: str = "auto",
        slots: int = 1,
        device: str = "cpu",
    ) -> NewSweep:
        """Return the sweep that a file describes; without `data` and what follows if nobody has loaded the data."""
        return cls(
            name=spec.name,
            spec=spec.to_json(),
            identity=spec.identity(),
            digest=spec.digest,
            data=data,
            window=spec.window,
            objectives=spec.objectives,
            trainer=trainer,
            slots=slots,
            device=device,
        )


def new_columns(connection: Connection, new: NewSweep) -> dict[str, Any]:
    """Return the columns of a sweep that is new."""
    return {
        "id": uuid.uuid4().hex,
        "name": new.name,
        "state": SweepState.INTERRUPTED,
        "source": new.spec["dataset"]["source"],
        "digest": new.digest,
        **_data(new),
        **objective_columns(new.objectives),
        "window": new.window,
        "system_attrs": {},
        "created_at": now_ms(connection),
        **budget_columns(new.spec),
    }


def former_columns(row: Row[Any]) -> dict[str, Any]:
    """Return the columns that a run replaces before it has loaded the data, as they were."""
    former = {name: getattr(row, name) for name in _REPLACED}
    if row.state == SweepState.RUNNING:  # by a process that is gone
        former["state"] = SweepState.INTERRUPTED if row.queued_at is None else SweepState.QUEUED
    return former


def budget_columns(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of what may change in a sweep's file."""
    return {
        "spec": dict(spec),
        "description": spec.get("description"),
        "n_trials": spec["budget"]["trials"],
        "priority": spec.get("priority", 0),
    }


def _data(new: NewSweep) -> dict[str, Any]:
    """Return the columns that are known once a trainer has loaded the data."""
    return {
        "fingerprint": "" if new.data is None else new.data.fingerprint,
        "data": {} if new.data is None else summary_json(new.data),
        "trainer": new.trainer,
        "slots": new.slots,
        "device": new.device,
    }


def data_columns(new: NewSweep, row: Row[Any]) -> dict[str, Any]:
    """Return what there is to fill in of a sweep that was submitted before anybody had loaded its data."""
    return {} if row.fingerprint or new.data is None else _data(new)


def summary_json(data: DataSummary) -> dict[str, Any]:
    """Return a data summary as plain JSON."""
    values = {name: getattr(data, name) for name in DataSummary.__slots__ if name != "builder_call"}
    values["traits"] = encode_traits(data.traits, data.builder_call)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def check_same_sweep(row: Row[Any], new: NewSweep) -> None:
    """Check that a sweep which exists has the content and the data of a file.

    Raises:
        SweepConflictError: Content or data differ.
    """
    checks.check_content(row, new.digest, new.identity)
    if new.data is not None and row.fingerprint not in ("", new.data.fingerprint):
        raise SweepConflictError(
            f"sweep {row.name}: the data at {row.source} have changed since it was started "
            f"(fingerprint was {row.fingerprint[:12]}, is {new.data.fingerprint[:12]}); "
            "restore them, or choose another name with --name"
        )
