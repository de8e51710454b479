"""Exports: a trial's configuration as plain Keras code, or as a sweep file with everything fixed."""

from __future__ import annotations

import textwrap
from importlib.metadata import version
from typing import Any, Final

from dnnsweep import spec
from dnnsweep.exports import data_code, fold_code, model_code, prediction_code, raw_model_code
from dnnsweep.exports.formatting import WIDTH, define, import_block
from dnnsweep.exports.own_functions import OwnFunction
from dnnsweep.exports.served_model import list_requirements, pack_row_modules, write_model_class
from dnnsweep.records import Curve, Sweep, Trial
from dnnsweep.space import PLATEAU, Hyperparameters

__all__ = ["list_requirements", "pack_row_modules", "python", "sweep_file", "write_model_class"]

#: Longest name of a sweep.
MAX_NAME: Final = 100
#: Sections about data and training; all others are about the search.
EXPORTED_SECTIONS: Final = ("task", "dataset", "objective", "training", "seed", "resources")


def python(sweep: Sweep, trial: Trial, curve: Curve = Curve()) -> str:  # noqa: B008  it is frozen
    """Return a trial's configuration as ordinary Keras code in one file, formatted as ruff would.

    The code reads, splits and encodes the same rows, trains by the same rules and prints the objective on the
    validation rows and on the test rows. It starts from the same weights, drops the same units and takes the rows in
    the same order. So it repeats the trial, unless rounding leads it elsewhere: it compares each epoch with the curve
    and says which of the two happened. It saves a model that takes raw rows, and predicts new rows with it.

    Args:
        sweep: Sweep as the ledger returns it.
        trial: Trial of the sweep, in any state.
        curve: What was measured while it trained; an empty one is not compared with.

    Raises:
        ExportError: A newer version has stored traits of the data that this one does not know.
    """
    plan = model_code.ListingPlan.of(sweep, trial, curve, f"{_configuration_name(sweep, trial)}.keras")
    training = _training_blocks(plan) if plan.facts.n_folds is None else fold_code.blocks(plan)
    body = "\n\n".join([*prediction_code.blocks(plan.facts, plan.model_file), *training])
    parts = [_docstring(sweep, trial, plan), import_block(body), *_user_imports(plan), body]
    return "\n\n".join(parts) + "\n"


def _training_blocks(plan: model_code.ListingPlan) -> list[str]:
    """Return the code from the source to the saved model, block by block."""
    saving = [define([raw_model_code.raw_model(plan)]), raw_model_code.SAVE]
    return [*data_code.blocks(plan.facts), *model_code.blocks(plan), *saving]


def _configuration_name(sweep: Sweep, trial: Trial) -> str:
    """Return the name of a trial's configuration, which differs from those of other trials."""
    ending = "-best" if trial.number == sweep.best_number else f"-trial-{trial.number}"
    return f"{sweep.name[: MAX_NAME - len(ending)]}{ending}"


def _user_imports(plan: model_code.ListingPlan) -> list[str]:
    """Import the functions of the user that read the rows and build the network."""
    sources = [f"python:{plan.facts.name}"] if plan.facts.kind == "python" else []
    sources += [plan.builder.source] if plan.builder is not None else []
    functions = sorted({OwnFunction.of(source) for source in sources})
    return ["\n".join(function.statement for function in functions)] if functions else []


def _docstring(sweep: Sweep, trial: Trial, plan: model_code.ListingPlan) -> str:
    facts = plan.facts
    packages = ["tensorflow", "scikit-learn", "pandas", *(["pyarrow"] if facts.kind == "parquet" else [])]
    lines = [
        f'"""{_result(sweep, trial)}.',
        "",
        f"Plain Keras code, written by dnnsweep {version('dnnsweep')}.",
        f"To install what it needs: pip install {' '.join(packages)}",
    ]
    if trial.confirmed is not None:
        mean, n = trial.confirmed.mean, trial.confirmed.n
        lines.append(f"It trains the trial again; the mean of {n} repeats on other seeds and splits is {mean:.6g}.")
    whose = "the first fold's network" if facts.n_folds else "the network"
    saved = (
        f"It saves {whose} as a model that takes raw rows, {plan.model_file}. Given a file of new rows on the command"
        f" line, such as {prediction_code.new_file(facts)}, it predicts these with the saved model and trains nothing."
    )
    lines += textwrap.wrap(saved, WIDTH, break_long_words=False, break_on_hyphens=False)
    if plan.stated_curve or (plan.stated_values and facts.n_folds):
        lines.append("At its end it says whether it repeated the trial or rounding led it elsewhere.")
    if facts.kind == "python":
        lines.append(f"The rows come from the module {facts.name.partition(':')[0]}.")
    if plan.builder is not None:
        lines.append(f"The network comes from the module {OwnFunction.of(plan.builder.source).module}.")
    if facts.kind == "arrays":
        lines += [f"It reads {facts.file}. To save your arrays there:", "", f"    {data_code.save_statement(facts)}"]
    return "\n".join([*lines, '"""'])


def _result(sweep: Sweep, trial: Trial) -> str:
    """Say which trial this is and how it ended."""
    is_best = trial.number == sweep.best_number
    name = f"{'Best trial' if is_best else 'Trial'} {trial.number} of the sweep {sweep.name}"
    ending = f", which ended as {trial.reason or trial.state}" if trial.value is None else ""
    scores = zip(sweep.objectives, trial.values or (), strict=False)
    return name + (ending or f": {', '.join(f'{objective.metric} {value:.6g}' for objective, value in scores)}")


def sweep_file(sweep: Sweep, trial: Trial) -> str:
    """Return a sweep file that trains a trial's configuration once: every hyperparameter is fixed.

    Args:
        sweep: Sweep as the ledger returns it.
        trial: Trial of the sweep, in any state.
    """
    hp, training = Hyperparameters.of(trial.params), dict(sweep.spec["training"])
    if hp.schedule != PLATEAU:  # the section is for other trials of the sweep
        training.pop("reduce_on_plateau", None)
    document: dict[str, Any] = {
        "name": _configuration_name(sweep, trial),
        "description": f"{_result(sweep, trial)}.",
        **{section: sweep.spec[section] for section in EXPORTED_SECTIONS if section in sweep.spec},
        "training": training,
        "fixed": hp.to_params(),
        "budget": {"trials": 1},
    }
    if builder := sweep.spec["network"].get("builder"):
        document |= {"network": {"builder": builder}, "fixed": dict(trial.params)}
    return spec.check(document).to_yaml()
