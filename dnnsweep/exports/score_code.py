"""The part of a listing that measures what Keras does not: scikit-learn's scores of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dnnsweep.records import CLASS_SCORES, Task

#: Metric -> its name in a listing; all but these are measured by Keras.
NAMES: Final = {name: name.removeprefix("val_") for name in (*CLASS_SCORES, "val_r2")}


def functions(metrics: Sequence[str], task: Task, inputs: str) -> list[str]:
    """Return the function `scores(x, y)`; nothing where no metric needs it.

    Args:
        metrics: Of early stopping and of the objective.
        task: Of the data.
        inputs: `x` as the network takes it.
    """
    names = list(dict.fromkeys(NAMES[metric] for metric in metrics if metric in NAMES))
    if not names:
        return []
    lines = [
        "def scores(x, y):",
        '    """Return what scikit-learn measures on rows."""',
        f"    answers = model.predict({inputs}, verbose=0)",
        *_labels(names, task),
        "    return {",
        *(f'        "{name}": {_call(name, task)},' for name in names),
        "    }",
    ]
    return ["\n".join(lines)]


def _labels(names: Sequence[str], task: Task) -> list[str]:
    if task is Task.REGRESSION or names == ["auc"]:
        return []
    return [f"    labels = {'answers.ravel() > 0.5' if task is Task.BINARY else 'answers.argmax(axis=1)'}"]


def _call(name: str, task: Task) -> str:
    if name == "r2":
        return "r2_score(y, answers.ravel())"
    if name == "auc":
        several = ', multi_class="ovr"' if task is Task.MULTICLASS else ".ravel()"
        return f"roc_auc_score(y, answers{several})"
    return f'{name}_score(y, labels, average="macro", zero_division=0)'


def callback(monitors: Sequence[str], inputs: str) -> list[str]:
    """Return the callback that lets others watch a score; nothing where Keras measures all that they watch."""
    if not set(monitors) & set(NAMES):
        return []
    return [
        f'''\
class Scores(keras.callbacks.Callback):
    """Measures the validation rows after each epoch."""

    def on_epoch_end(self, epoch, logs):
        measured = scores({inputs}, y_val)
        logs |= {{f"val_{{name}}": value for name, value in measured.items()}}
'''
    ]
