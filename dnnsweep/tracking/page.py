"""What travels to the tracking server: runs as pages of plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

KEY_TAG: Final = "dnnsweep.key"
NAME_TAG: Final = "mlflow.runName"
PARENT_TAG: Final = "mlflow.parentRunId"


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric in a tracking run.

    Args:
        metric: Its name as the tracking server shows it.
        value: Finite.
        step: The epoch, from 1, or the trial's number.
        time: When it was measured, in milliseconds since 1970 (UTC); the same at every delivery.
    """

    metric: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that the tracking server should show of a sweep or a trial at this moment.

    Putting the same page twice changes nothing; putting a later page of the same key adds what is new.

    Args:
        key: Unique over all ledgers; a tag of the run, by which it is found again.
        experiment: The experiment's name.
        name: The run's name.
        status: `SCHEDULED`, `RUNNING`, `FINISHED`, `FAILED` or `KILLED`.
        started_at: In milliseconds since 1970 (UTC).
        ended_at: Likewise; None while it runs.
        run_id: The run, if it is known already.
        parent_run_id: The run that this one is folded under.
        is_new: Whether nobody ever tried to put it, so that no run can have its key.
        columns: Hyperparameters that a table of the experiment's runs shows, in this order.
        params: Never change once put.
        tags: May change.
        points: At most one for each metric and step.
        texts: Artifact path -> content.
        files: Artifact path -> absolute path of a local file.
    """

    key: str
    experiment: str
    name: str
    status: str
    started_at: int
    ended_at: int | None = None
    run_id: str | None = None
    parent_run_id: str | None = None
    is_new: bool = False
    columns: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_tags(self) -> dict[str, str]:
        """Return its tags, with those that name it and fold it under another run."""
        own = {KEY_TAG: self.key, NAME_TAG: self.name}
        if self.parent_run_id:
            own[PARENT_TAG] = self.parent_run_id
        return {**self.tags, **own}


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as the tracking server has it.

    Args:
        run_id: Its id.
        key: The tag by which it is found again.
        status: As in `RunPage`.
        started_at: In milliseconds since 1970 (UTC).
        is_deleted: Whether it was deleted; it can be restored.
        params: What it was given.
        tags: All of them.
        n_metrics: How many metrics it has.
    """

    run_id: str
    key: str
    status: str
    started_at: int
    is_deleted: bool
    params: Mapping[str, str]
    tags: Mapping[str, str]
    n_metrics: int
