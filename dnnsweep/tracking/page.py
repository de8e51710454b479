"""What travels to the tracking server and back: runs as records of plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dnnsweep.tracking.model_format import Signature

KEY_TAG: Final = "dnnsweep.key"
NAME_TAG: Final = "mlflow.runName"
PARENT_TAG: Final = "mlflow.parentRunId"
#: The description that the page of a run or of an experiment shows, as Markdown.
NOTE_TAG: Final = "mlflow.note.content"
#: Sorted by it, upwards, runs stand in the order in which they are to be read.
ORDER_TAG: Final = "dnnsweep.order"
#: The alias of the model to use in the registry: the retrained winner's, else the best trial's.
CHAMPION: Final = "champion"
#: The statuses of runs that have ended.
ENDED: Final = ("FINISHED", "FAILED", "KILLED")
#: The longest values that MLflow takes, in characters.
MAX_PARAM_LENGTH: Final = 6000
MAX_TAG_LENGTH: Final = 8000
MAX_DIGEST_LENGTH: Final = 36
MAX_NAME_LENGTH: Final = 250


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric in a tracking run.

    Args:
        metric: Name of the metric, as the tracking server shows it.
        value: The value, a finite number.
        step: The epoch, from 1; in the run of a sweep the number of a trial.
        time: When the value was measured, in milliseconds since 1970 (UTC); the same at every delivery.
    """

    metric: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """How the tracking server should list the runs of an experiment.

    Args:
        note: What the experiment is about, as Markdown.
        direction: `maximize` or `minimize` the objective.
        params: Hyperparameters that the list shows, in this order.
        metrics: Metrics that are drawn as curves, in this order.
    """

    note: str = ""
    direction: str = "maximize"
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """The data that a run was given.

    Args:
        name: Name of the data.
        digest: Tells the data from others of the same name, in at most `MAX_DIGEST_LENGTH` characters.
        source_type: MLflow's word for the kind of source.
        source: Where the data come from, as JSON of that kind.
        profile: What is known about the data, as JSON.
    """

    name: str
    digest: str
    source_type: str
    source: str
    profile: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything that the tracking server should show of a sweep or a trial at this moment.

    Putting the same page twice changes nothing; putting a later page of the same key adds what is new.

    Args:
        key: A tag by which the run is found again, unique over all ledgers.
        experiment: Name of the experiment.
        name: Name of the run.
        status: `SCHEDULED`, `RUNNING`, `FINISHED`, `FAILED` or `KILLED`.
        started_at: When the sweep or trial started, in milliseconds since 1970 (UTC).
        ended_at: When the sweep or trial ended, in milliseconds since 1970 (UTC); None while it runs.
        run_id: Id of the run; None where the ledger knows none.
        parent_run_id: Id of the run that this one is folded under; None for the run of a sweep.
        is_new: Whether nobody ever tried to put the page, so that no run can have its key.
        view: How the experiment's runs are listed.
        params: Parameters of the run; they never change once they are put.
        tags: Tags of the run; they may change.
        points: Values of metrics, at most one for each metric and step.
        texts: Artifact path -> content.
        files: Artifact path -> absolute path of a local file.
        dataset: The data that the run was given; None if that is not said.
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
    view: ExperimentView = ExperimentView()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInput | None = None

    @property
    def all_tags(self) -> dict[str, str]:
        """Return the tags as MLflow takes them, with those that name the run and fold it under another one."""
        identity = {KEY_TAG: self.key, NAME_TAG: self.shown_name}
        if self.parent_run_id:
            identity[PARENT_TAG] = self.parent_run_id
        return {name: _fit(text, MAX_TAG_LENGTH) for name, text in {**self.tags, **identity}.items()}

    @property
    def all_params(self) -> dict[str, str]:
        """Return the parameters as MLflow takes them."""
        return {name[:MAX_NAME_LENGTH]: _fit(text, MAX_PARAM_LENGTH) for name, text in self.params.items()}

    @property
    def shown_name(self) -> str:
        """Return the name of the run as MLflow takes it."""
        return _fit(self.name, MAX_NAME_LENGTH)


def _fit(text: str, length: int) -> str:
    """Return text without what databases refuse, and an ellipsis at the end if it is too long."""
    clean = text.replace("\0", "").encode(errors="replace").decode()
    return clean if len(clean) <= length else clean[: length - 1] + "…"


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A model that the tracking server should have, with all of its files; it never changes once it is put.

    Args:
        key: A tag by which the model is found again, unique over all ledgers.
        experiment: Name of the experiment.
        run_id: Id of the run that has the model among its outputs.
        name: Name of the model in the experiment, without slashes, colons and dots.
        registered_name: Name under which it is registered, with the alias `CHAMPION`; None if it is not.
        signature: What the model takes and answers.
        code: File of Python with the class of the model.
        artifacts: Name under which the class asks for a file -> path in the model.
        created_at: When the model was trained, in milliseconds since 1970 (UTC).
        params: What the model was trained with.
        tags: What is told about the model.
        contents: Path -> content.
        files: Path -> absolute path of a local file.
    """

    key: str
    experiment: str
    run_id: str
    name: str
    registered_name: str | None
    signature: Signature
    code: str
    artifacts: Mapping[str, str]
    created_at: int
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, str | bytes] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as the tracking server has it.

    Args:
        run_id: Id of the run.
        key: The tag by which the run is found again.
        status: Status of the run; see `RunPage`.
        started_at: When the run started, in milliseconds since 1970 (UTC).
        is_deleted: Whether the run was deleted; it can be restored.
        params: All parameters of the run.
        tags: All tags of the run.
        n_metrics: How many metrics the run has.
        datasets: Name and digest of the data that the run was given.
    """

    run_id: str
    key: str
    status: str
    started_at: int
    is_deleted: bool
    params: Mapping[str, str]
    tags: Mapping[str, str]
    n_metrics: int
    datasets: frozenset[tuple[str, str]] = frozenset()
