"""A sweep as an ordinary Optuna study, for Optuna's own analyses, plots and dashboard."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeAlias

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from dnnsweep.errors import ExportError
from dnnsweep.records import State, Trial
from dnnsweep.redaction import redact
from dnnsweep.study.parameters import DIRECTIONS, Parameters

OptunaStudy: TypeAlias = optuna.Study

_STATES: Final[Mapping[State, TrialState]] = MappingProxyType(
    {
        State.QUEUED: TrialState.WAITING,
        State.RUNNING: TrialState.RUNNING,
        State.COMPLETE: TrialState.COMPLETE,
        State.PRUNED: TrialState.PRUNED,
        State.FAILED: TrialState.FAIL,
    }
)
#: Optuna compares the best trials, two or more, with all.
MIN_TRIALS: Final = 3
#: What is kept of a trial beside what Optuna has a field for.
_ATTRIBUTES: Final = ("reason", "best_epoch", "epochs", "seconds", "seed", "run_id")


def make_study(
    name: str,
    directions: Sequence[str],
    parameters: Parameters,
    trials: Sequence[Trial],
    reports: Mapping[int, Sequence[float]] = MappingProxyType({}),
) -> OptunaStudy:
    """Return a study in memory that holds the trials of a sweep, with equal numbers.

    Args:
        name: Name of the study.
        directions: `maximize` or `minimize`, for each objective.
        parameters: Hyperparameters that the sweep searches, as Optuna's parameters.
        trials: All trials of the sweep, in the order of their numbers.
        reports: Number of a trial -> the first objective at each epoch. NaN is left out.
    """
    study = optuna.create_study(study_name=name, directions=[DIRECTIONS[name] for name in directions])
    study.add_trials([_make_trial(trial, parameters, reports.get(trial.number, ())) for trial in trials])
    return study


def importances_of(study: OptunaStudy) -> dict[str, float]:
    """Return the share of each hyperparameter in what makes the best trials of a study differ from all of them.

    Args:
        study: A study of a finished sweep.

    Returns:
        Hyperparameter -> share, the sum over its parameters, largest first; empty if fewer than three trials are
        complete, all have the same value, or nothing was searched.

    References:
        Watanabe and others, PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces, 2023.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < MIN_TRIALS or len({trial.values[0] for trial in trials}) == 1:
        return {}
    evaluator, shares = optuna.importance.PedAnovaImportanceEvaluator(), dict[str, float]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal values, as many may be among the best as there are
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    for parameter, share in found.items():
        name = parameter.partition(".")[0].partition("[")[0]  # `hidden.units`, or a branch such as `l2[1]`
        shares[name] = shares.get(name, 0.0) + share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _make_trial(trial: Trial, parameters: Parameters, reports: Sequence[float]) -> FrozenTrial:
    encoded = parameters.encode(trial.params)
    made = create_trial(
        state=_STATES[trial.state],
        values=trial.values,
        params=encoded,
        distributions={name: parameters.distributions[name] for name in encoded},
        intermediate_values={epoch: value for epoch, value in enumerate(reports, 1) if not math.isnan(value)},
        user_attrs={name: getattr(trial, name) for name in _ATTRIBUTES if getattr(trial, name) is not None},
    )
    made.datetime_start = _local_time(trial.started_at)
    made.datetime_complete = _local_time(trial.ended_at)
    return made


def _local_time(milliseconds: int | None) -> datetime | None:
    """Return a time as Optuna has it: in local time, without a zone."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().replace(tzinfo=None)


def save_study(study: OptunaStudy, url: str) -> None:
    """Copy a study to a database, for example for optuna-dashboard.

    Args:
        study: The study, whose name must be free in the database.
        url: Address of the database, for example `sqlite:///study.db`.

    Raises:
        ExportError: The database cannot be written, or has a study of this name.
    """
    try:
        storage = optuna.storages.RDBStorage(url)
        optuna.copy_study(from_study_name=study.study_name, from_storage=study._storage, to_storage=storage)  # noqa: SLF001
    except optuna.exceptions.DuplicatedStudyError as error:
        remedy = "choose another file, or delete that study with `optuna delete-study`"
        raise ExportError(f"{redact(url)} has a study {study.study_name} already; {remedy}") from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"a study must go to a database such as sqlite:///study.db, got {redact(f'{url}: {reason}')}"
        ) from error
