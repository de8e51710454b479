"""The part of a listing that measures what Keras does not: scikit-learn's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dnnsweep.exports.formatting import literal
from dnnsweep.records import CLASS_SCORES, Task

#: Metric -> its name in a listing; Keras measures all other metrics.
SCORE_NAMES: Final = {name: name.removeprefix("val_") for name in (*CLASS_SCORES, "val_r2")}


def score_function(metrics: Sequence[str], task: Task, inputs: str) -> list[str]:
    """Return the definition of `scores(x, y)`; nothing if no metric needs it.

    Args:
        metrics: Metrics that callbacks monitor, and objectives.
        task: Task of the sweep.
        inputs: Code of `x` as the network takes it.
    """
    names = list(dict.fromkeys(SCORE_NAMES[metric] for metric in metrics if metric in SCORE_NAMES))
    if not names:
        return []
    lines = [
        "def scores(x, y):",
        '    """Score rows with scikit-learn."""',
        f"    predictions = model.predict({inputs}, verbose=0)",
        *_labels(names, task),
        *_areas(names, task),
        "    return {",
        *(f'        "{name}": {_score_call(name, task)},' for name in names),
        "    }",
    ]
    return ["\n".join(lines)]


def _labels(names: Sequence[str], task: Task) -> list[str]:
    if task is Task.REGRESSION or names == ["auc"]:
        return []
    return [f"    labels = {'predictions.ravel() > 0.5' if task is Task.BINARY else 'predictions.argmax(axis=1)'}"]


def _areas(names: Sequence[str], task: Task) -> list[str]:
    """Return the areas of several classes, each against the rest: scikit-learn raises where one of them has no row."""
    if task is not Task.MULTICLASS or "auc" not in names:
        return []
    return ["    areas = [roc_auc_score(y == k, predictions[:, k]) for k in np.unique(y)]"]


def _score_call(name: str, task: Task) -> str:
    if name == "r2":
        return "r2_score(y, predictions.ravel())"
    if name == "auc":
        return "np.mean(areas)" if task is Task.MULTICLASS else "roc_auc_score(y, predictions.ravel())"
    score = CLASS_SCORES[f"val_{name}"]
    options = (f"{key}={literal(value)}" for key, value in score.options.items())
    return f"{score.function}({', '.join(('y', 'labels', *options))})"


def score_callback(monitors: Sequence[str], inputs: str) -> list[str]:
    """Return a callback that reports scores to other callbacks; nothing if Keras measures all that they monitor."""
    if not set(monitors) & set(SCORE_NAMES):
        return []
    return [
        f'''\
class Scores(keras.callbacks.Callback):
    """Scores the validation rows after each epoch."""

    def on_epoch_end(self, epoch, logs):
        scored = scores({inputs}, y_val)
        logs |= {{f"val_{{name}}": value for name, value in scored.items()}}
'''
    ]
