"""Weights of rows in the loss, from the classes and from a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import LARGEST, is_number
from dnnsweep.datasets.splits import Rows
from dnnsweep.datasets.targets import Target
from dnnsweep.spec import BALANCED, DatasetSpec


def training_weights(
    target: Target, spec: DatasetSpec, column: pd.Series | None, train: Rows
) -> NDArray[np.float32] | None:
    """Return the weights of the training rows (n_train,); None where all weigh the same.

    The weight of a row is the weight of its class times its own. `balanced` gives class c the weight
    n / (n_classes * n_c), counted on the training rows by scikit-learn's compute_class_weight.

    Args:
        target: The value to predict for each row.
        spec: Names the weights of classes.
        column: Weight of each row; None where each weighs 1.
        train: Positions of the training rows.

    Raises:
        DataError: A weight is negative, missing or too large, all weights are 0, or a class has no weight.
    """
    if spec.class_weight is None and column is None:
        return None
    weights = np.ones(len(train)) if column is None else _row_weights(column, train)
    if spec.class_weight is not None:
        weights = weights * _class_weights(target, spec.class_weight, train)[target.values[train]]
    return weights.astype(np.float32)


def _row_weights(column: pd.Series, train: Rows) -> NDArray[np.float64]:
    path = "dataset.sample_weight"
    if not is_number(column):
        raise data_error(path, "must be a column of numbers", "text", "choose another column")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    n_wrong = int((~((values >= 0) & (values <= LARGEST))).sum())
    if n_wrong:
        got = f"{n_wrong} of {len(values)} rows where it is missing, negative or too large"
        raise data_error(path, "must be 0 or more in every row", got, "correct these rows or remove them")
    if not values[train].any():
        raise data_error(path, "must be above 0 in a training row", "0 in all of them", "choose another column")
    return np.asarray(values[train])


def _class_weights(target: Target, class_weight: Any, train: Rows) -> NDArray[np.float64]:
    path = "dataset.class_weight"
    if not target.classes:
        raise data_error(path, "needs a target with classes", f"the numeric target {target.name}", "remove it")
    if class_weight == BALANCED:
        indices = np.arange(len(target.classes))
        return np.asarray(compute_class_weight("balanced", classes=indices, y=target.values[train]))
    unknown = sorted(set(class_weight) - set(target.classes))
    unweighted = sorted(set(target.classes) - set(class_weight))
    if unknown or unweighted:
        got = ", ".join(
            f"{word} {name_some(names)}"
            for word, names in (("no class", unknown), ("no weight for", unweighted))
            if names
        )
        raise data_error(path, "must give every class a weight", got, f"the classes are {name_some(target.classes)}")
    return np.array([class_weight[label] for label in target.classes])
