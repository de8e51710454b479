"""Weights of rows in the loss, from their classes and from a column."""

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


def weights_of(target: Target, spec: DatasetSpec, column: pd.Series | None, train: Rows) -> NDArray[np.float32] | None:
    """Return the weights of the training rows (n_train,); None where all count alike.

    The weight of a row is its class's times its own. `balanced` gives class c the weight n / (n_classes * n_c), by
    scikit-learn's compute_class_weight, counted on the training rows.

    Args:
        target: One value for each row.
        spec: Says which weights.
        column: Weights of all rows; None for 1.
        train: The training rows.

    Raises:
        DataError: A weight is negative, missing or too large, all are 0, or a class has none.
    """
    if spec.class_weight is None and column is None:
        return None
    weights = np.ones(len(train)) if column is None else _own(column, train)
    if spec.class_weight is not None:
        weights = weights * _of_classes(target, spec.class_weight, train)[target.values[train]]
    return weights.astype(np.float32)


def _own(column: pd.Series, train: Rows) -> NDArray[np.float64]:
    path = "dataset.sample_weight"
    if not is_number(column):
        raise data_error(path, "must be a column of numbers", "text", "name another column")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    n_wrong = int((~((values >= 0) & (values <= LARGEST))).sum())
    if n_wrong:
        got = f"{n_wrong} of {len(values)} rows without it, or with another one"
        raise data_error(path, "must be 0 or more in each row", got, "fill them in or remove these rows")
    if not values[train].any():
        raise data_error(path, "must be above 0 in some training row", "0 in all of them", "name another column")
    return np.asarray(values[train])


def _of_classes(target: Target, wanted: Any, train: Rows) -> NDArray[np.float64]:
    path = "dataset.class_weight"
    if not target.classes:
        raise data_error(path, "belongs to classes", f"a target of numbers, {target.name}", "remove it")
    if wanted == BALANCED:
        indices = np.arange(len(target.classes))
        return np.asarray(compute_class_weight("balanced", classes=indices, y=target.values[train]))
    strange = sorted(set(wanted) - set(target.classes))
    lacking = sorted(set(target.classes) - set(wanted))
    if strange or lacking:
        got = ", ".join(
            f"{word} {name_some(names)}" for word, names in (("no class", strange), ("none for", lacking)) if names
        )
        raise data_error(path, "must give each class a weight", got, f"classes are {name_some(target.classes)}")
    return np.array([wanted[label] for label in target.classes])
