"""What MLflow is given of a model: the network, what was fitted to the training rows, and code that needs both."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dnnsweep.delivery.descriptions import wanted_models
from dnnsweep.delivery.kept_models import describe_damage
from dnnsweep.delivery.pages import run_key
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep, SweepState, Trial
from dnnsweep.records.model_files import INTERFACE, PREPROCESSING
from dnnsweep.settings import Settings
from dnnsweep.tracking.model_format import Signature, format_files
from dnnsweep.tracking.page import ModelPage

#: What a sweep file asks for that wants other models than the best one's.
ALL, NONE = "all", "none"
CODE: Final = "model.py"
#: Name under which the class of a model asks for a file -> its path in the model.
ARTIFACTS: Final = {
    "network": "artifacts/network.keras",
    "preprocessing": "artifacts/preprocessing.json",
    "rows": "artifacts/rows.zip",
}
#: Kind of the values of an answer -> MLflow's word for it.
_KINDS: Final = {"boolean": "boolean", "integer": "long", "float": "double", "text": "string"}


def model_pages(ledger: Ledger, settings: Settings, sweep: Sweep) -> Iterator[tuple[int | None, ModelPage]]:
    """Yield all models that MLflow should have of a sweep, with the numbers of their trials, None for the retrained.

    Args:
        ledger: The ledger that holds the sweep.
        settings: Where models are.
        sweep: The sweep in its present state, whose run exists.
    """
    number = None if is_retrained(ledger.answer(sweep)) else sweep.best_number
    if wanted_models(sweep) == ALL:
        for trial in ledger.trials_of(sweep):
            page = trial_model_page(ledger, settings, sweep, trial)
            if page is not None and trial.number != number:
                yield trial.number, page
    champion = champion_page(ledger, settings, sweep)
    if champion is not None:
        yield number, champion


def is_retrained(answer: Mapping[str, Any]) -> bool:
    """Return whether the model to use is one that was retrained, given a sweep's stored answer."""
    return bool((answer.get("retrained") or {}).get("model"))


def champion_page(ledger: Ledger, settings: Settings, sweep: Sweep) -> ModelPage | None:
    """Return the model to use: the retrained winner's, and before there is one the best trial's.

    None before the sweep ends, as another trial may become the best one; and where another home keeps the model.
    """
    is_over = sweep.state not in (SweepState.RUNNING, SweepState.QUEUED)
    if wanted_models(sweep) == NONE or not is_over:
        return None
    answer, page = ledger.answer(sweep), None
    if is_retrained(answer):
        page = retrained_page(ledger.id, settings, sweep, answer)
    elif sweep.best_number is not None:
        page = _kept_page(ledger, settings, sweep, ledger.trial_of(sweep, sweep.best_number))
    return None if page is None else replace(page, registered_name=sweep.name)


def trial_model_page(ledger: Ledger, settings: Settings, sweep: Sweep, trial: Trial) -> ModelPage | None:
    """Return the model of a trial, if the sweep file asks for all."""
    is_wanted = wanted_models(sweep) == ALL and trial.values is not None
    return _kept_page(ledger, settings, sweep, trial) if is_wanted else None


def _kept_page(ledger: Ledger, settings: Settings, sweep: Sweep, trial: Trial) -> ModelPage | None:
    name = ledger.model_name(sweep.id, trial.number)
    return None if name is None else model_page(ledger.id, sweep, trial, settings.best_model(sweep.name, name))


def model_page(ledger_id: str, sweep: Sweep, trial: Trial, file: Path) -> ModelPage | None:
    """Return a trial's model; None if its file is damaged, or an older dnnsweep has saved it without preprocessing.

    Args:
        ledger_id: Id of the ledger that holds the trial.
        sweep: The trial's sweep, whose run exists.
        trial: A trial that is complete.
        file: Its network, in a `.keras` file.
    """
    network = _Network(
        key=run_key(ledger_id, sweep.id, trial.number),
        name=f"trial-{trial.number}",
        title=f"Trial {trial.number} of the sweep {sweep.name}",
        file=file,
        created_at=trial.ended_at or sweep.created_at,
        params=trial.params,
        tags=_tags(sweep, trial),
    )
    return _page(sweep, network)


def retrained_page(ledger_id: str, settings: Settings, sweep: Sweep, answer: Mapping[str, Any]) -> ModelPage | None:
    """Return the retrained winner's model, as `model_page` does for a trial.

    Args:
        ledger_id: Id of the ledger that holds the sweep.
        settings: Where models are.
        sweep: The sweep, whose run exists.
        answer: The sweep's stored answer, which names a retrained model.
    """
    retrained = answer["retrained"]
    file, trial = settings.retrained_model(sweep.name, retrained["model"]), retrained.get("trial")
    of_whom = "baseline" if trial is None else f"trial {trial}"
    network = _Network(
        key=f"{run_key(ledger_id, sweep.id)}/retrained/{file.stem}",
        name=f"retrained-{of_whom.replace(' ', '-')}",
        title=f"{of_whom.capitalize()} of the sweep {sweep.name}, retrained on all rows but the test rows",
        file=file,
        created_at=sweep.ended_at or sweep.created_at,
        params=retrained["params"],
        tags=_retrained_tags(sweep, trial, answer.get("test") or {}),
    )
    return _page(sweep, network)


@dataclass(frozen=True, slots=True)
class _Network:
    """A trained network that MLflow gets as a model.

    Args:
        key: A tag by which the model is found again, unique over all ledgers.
        name: Name of the model in the experiment.
        title: What its code is headed by.
        file: The network, in a `.keras` file.
        created_at: When it was trained, in milliseconds since 1970 (UTC).
        params: What it was trained with.
        tags: What is told about it.
    """

    key: str
    name: str
    title: str
    file: Path
    created_at: int
    params: Mapping[str, Any]
    tags: Mapping[str, str]


def _page(sweep: Sweep, network: _Network) -> ModelPage | None:
    from dnnsweep import exports

    interface, preprocessing = _read_assets(network.file)
    if not interface or sweep.run_id is None:
        return None
    signature, rows = _signature(json.loads(interface)), exports.pack_row_modules()
    return ModelPage(
        key=network.key,
        experiment=sweep.name,
        run_id=sweep.run_id,
        name=network.name,
        registered_name=None,
        signature=signature,
        code=CODE,
        artifacts=ARTIFACTS,
        created_at=network.created_at,
        params={name: str(value) for name, value in network.params.items()},
        tags=network.tags,
        contents={
            CODE: exports.write_model_class(network.title, is_table=signature.row_shape is None),
            ARTIFACTS["preprocessing"]: preprocessing,
            ARTIFACTS["rows"]: rows.archive,
            **format_files(signature, exports.list_requirements()),
        },
        files={ARTIFACTS["network"]: str(network.file)},
    )


def _read_assets(file: Path) -> tuple[bytes, bytes]:
    """Return what a `.keras` file holds beside the network, as it stands there; nothing if any of it is missing."""
    if describe_damage(file) is not None:
        return b"", b""
    with zipfile.ZipFile(file) as archive:
        if not {INTERFACE, PREPROCESSING} <= set(archive.namelist()):
            return b"", b""
        return archive.read(INTERFACE), archive.read(PREPROCESSING)


def _tags(sweep: Sweep, trial: Trial) -> dict[str, str]:
    values = zip(sweep.objectives, trial.values or (), strict=False)
    scores = {f"dnnsweep.{objective.metric}": f"{value:.6g}" for objective, value in values}
    return {"dnnsweep.sweep": sweep.name, "dnnsweep.trial": str(trial.number), **scores}


def _retrained_tags(sweep: Sweep, trial: int | None, test: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a retrained model, with its score on the test rows and what may be said of it."""
    tags = {"dnnsweep.sweep": sweep.name, "dnnsweep.retrained": "true"}
    if trial is not None:
        tags["dnnsweep.of_trial"] = str(trial)
    scores = {"test": test.get("model_score"), "mean_test": test.get("score")}
    tags |= {f"dnnsweep.{name}_{test['metric']}": f"{score:.6g}" for name, score in scores.items() if score is not None}
    intervals = {name: test.get(name) for name in ("this_model", "this_recipe")}
    return tags | {f"dnnsweep.{name}": json.dumps(ends) for name, ends in intervals.items() if ends is not None}


def _signature(interface: Mapping[str, Any]) -> Signature:
    shape = interface["row_shape"]
    return Signature(
        columns=tuple(interface["columns"]),
        row_shape=None if shape is None else tuple(shape),
        outputs={name: _KINDS[kind] for name, kind in interface["answers"].items()},
        example=interface["example"],
    )
