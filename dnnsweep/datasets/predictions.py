"""Predictions: the outputs of a network as labels with probabilities, or as numbers in the target's own units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.preprocessing import TargetEncoding
from dnnsweep.records import Task

DataFrame: TypeAlias = pd.DataFrame

PREDICTION = "prediction"


def decode(outputs: NDArray[Any], target: TargetEncoding, index: pd.Index) -> DataFrame:
    """Return a row for each row: `prediction` and, for classes, `probability_LABEL` for each label.

    Args:
        outputs: Outputs of the network (rows, outputs).
        target: How the target was encoded.
        index: Index of the rows.
    """
    if target.task is Task.REGRESSION:
        numbers = outputs[:, 0].astype(np.float64) * target.std + target.mean
        return pd.DataFrame({PREDICTION: numbers}, index=index)
    probabilities = np.hstack([1 - outputs, outputs]) if target.task is Task.BINARY else outputs
    labels = np.array(target.labels(), dtype=object)[probabilities.argmax(axis=1)]
    columns = {probability_name(label): probabilities[:, place] for place, label in enumerate(target.classes)}
    return pd.DataFrame({PREDICTION: pd.Series(labels, index=index).infer_objects(), **columns}, index=index)


def probability_name(label: str) -> str:
    """Return the name of the column with the probability of a label."""
    return f"probability_{label}"


def join(blocks: Iterable[DataFrame]) -> DataFrame:
    """Return the predictions of all blocks as one table."""
    return pd.concat(list(blocks))
