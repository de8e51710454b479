"""The part of a listing that trains a trial once for each fold, in a loop, and takes the mean."""

from __future__ import annotations

from dataclasses import replace

from dnnsweep.exports import comparison_code, data_code, model_code, raw_model_code
from dnnsweep.exports.column_code import join_rare_words
from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import INDENT, call, define, indented_code, narrowed
from dnnsweep.exports.score_code import SCORE_NAMES
from dnnsweep.exports.split_code import frame_rows, group_splitter, weights
from dnnsweep.records import N_PARAMETERS, DataTrait, spread_of


def blocks(plan: model_code.ListingPlan) -> list[str]:
    """Return the code from the source to the mean over the folds, block by block."""
    facts = plan.facts
    # Test rows are left to whoever trains the final model: there is one network for each fold.
    in_fold = replace(plan, facts=replace(facts, n_test=0, traits=facts.traits - {DataTrait.OWN_TEST}), stated_curve=())
    with narrowed(INDENT):
        steps = [*_rows(in_fold.facts), *data_code.encoding(in_fold.facts), *model_code.training(in_fold)]
        steps += [_save_first(), _score(plan)]
    loop = "for in_train, in_val in folds:\n" + indented_code("\n\n".join(steps))
    return [
        *data_code.reading(facts),
        _folds(facts),
        "# The trial's seed: for initial weights, dropout and the order of rows.\n" + f"SEED = {plan.seed}",
        define([*model_code.functions(in_fold), raw_model_code.raw_model(in_fold)]),
        f"results = []\n{loop}",
        _means(plan),
    ]


def _save_first() -> str:
    return f"if not results:  # the sweep keeps the model of the first fold, too\n    {raw_model_code.SAVE}"


def _folds(facts: DataFacts) -> str:
    """Define the rows that are not test rows, and their folds."""
    seed = f"random_state={facts.validation_seed}"
    lines = []
    if facts.split_by:
        lines.append("# All rows of a group stay in the same part.")
    if not facts.n_test or facts.has(DataTrait.OWN_TEST):
        lines.append("rest = np.arange(len(x))")
    elif facts.split_by:
        lines += ["n_groups = groups.max() + 1", *group_splitter(facts.shares[1], facts.seed)]
        lines.append("rest, test = next(splitter.split(groups, groups=groups))")
    else:
        options = [f"test_size={facts.n_test}", f"random_state={facts.seed}"]
        options += ["stratify=y"] if facts.classes else []
        lines.append(call("rest, test = train_test_split", "np.arange(len(x))", *options))
    lines.append(f"# Each row that is not a test row validates in one of {facts.n_folds} folds.")
    kind, given = "KFold", "rest"
    if facts.split_by:
        kind, given = "GroupKFold", "rest, groups=groups[rest]"
    elif facts.classes:
        kind, given = "StratifiedKFold", "rest, y[rest]"
    lines.append(call(f"splitter = {kind}", f"n_splits={facts.n_folds}", "shuffle=True", seed))
    return "\n".join([*lines, f"folds = splitter.split({given})"])


def _rows(facts: DataFacts) -> list[str]:
    """Take the rows of a fold."""
    rows = frame_rows(facts)
    lines = ["train, val = rest[in_train], rest[in_val]"]
    lines += [f"x_{part}, y_{part} = {rows.format(part)}, y[{part}]" for part in facts.parts]
    lines += ["w_train = weights[train]"] if facts.sample_weight else []
    return ["\n".join(lines), *(code for code in (join_rare_words(facts), weights(facts)) if code)]


def _score(plan: model_code.ListingPlan) -> str:
    """Add the objectives of a fold to the results."""
    metrics = [metric for metric in plan.objectives if metric != N_PARAMETERS]
    lines, values = [], []
    for part in dict.fromkeys("val" if metric.startswith("val_") else "train" for metric in metrics):
        measured = [metric for metric in metrics if metric.startswith("val_") == (part == "val")]
        if any(metric not in SCORE_NAMES for metric in measured):
            inputs = plan.inputs(f"x_{part}")
            lines.append(f"score = model.evaluate({inputs}, y_{part}, verbose=0, return_dict=True)")
        for metric in measured:
            if metric in SCORE_NAMES:
                values.append(f'scores(x_{part}, y_{part})["{SCORE_NAMES[metric]}"]')
            else:
                name = metric.removeprefix("val_")
                values.append(f'score["{plan.keras_name(name)}"]{model_code.unit_factor(metric, "*")}')
    lines += ["result = {"]
    lines += [f'    "{metric}": {value},' for metric, value in zip(metrics, values, strict=True)]
    return "\n".join([*lines, "}", "results.append(result)"])


def _means(plan: model_code.ListingPlan) -> str:
    """Print the means over the folds, and whether the first one is the trial's value."""
    metrics = [metric for metric in plan.objectives if metric != N_PARAMETERS]
    lines = ['print(f"n_parameters: {model.count_params()}")'] if N_PARAMETERS in plan.objectives else []
    lines += ["# The mean over the folds, and their standard deviation."]
    for metric in metrics:
        lines.append(f'values = [result["{metric}"] for result in results]')
        lines.append(f'print(f"{metric}: {{np.mean(values):.6g}}")')
        lines.append(f'print(f"{spread_of(metric)}: {{np.std(values, ddof=1):.6g}}")')
        value = plan.stated_values.get(metric)
        if value is not None:
            lines.append(comparison_code.compare_mean(metric, value))
    return "\n".join(lines)
