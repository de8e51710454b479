"""A saved model: the network in a `.keras` file, and beside it what was fitted to the training rows."""

from __future__ import annotations

import json
import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets.model_interface import describe_interface
from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.errors import ExportError
from dnnsweep.processes import silence_stderr
from dnnsweep.records.model_files import INTERFACE, PREPROCESSING
from dnnsweep.trainers import keras_settings


def load_model(path: Path) -> Any:
    """Return the Keras model in a `.keras` file; importing Keras takes seconds the first time."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    is_ours = "tensorflow" not in sys.modules
    with silence_stderr(is_needed=is_ours):
        import keras
    if is_ours:
        keras_settings.use_defaults(keras)
    return keras.models.load_model(path)


def add_preprocessing(path: Path, preprocessing: Preprocessing) -> None:
    """Add the preprocessing of a network, and what the two take and answer, to the `.keras` file of the network."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(PREPROCESSING, preprocessing.to_text())
        archive.writestr(INTERFACE, json.dumps(describe_interface(preprocessing)))


def read_preprocessing(path: Path) -> Preprocessing | None:
    """Return the preprocessing in a `.keras` file, without loading Keras; None if an older dnnsweep has saved it.

    Raises:
        ExportError: A newer version has saved it, or the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Preprocessing.from_text(archive.read(PREPROCESSING)) if PREPROCESSING in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, LookupError) as error:
        raise ExportError(
            f"the model in {path} is damaged ({error}); `dnnsweep doctor` fetches MLflow's copy"
        ) from error


def outputs_of(network: Any, x: NDArray[np.float32]) -> NDArray[Any]:
    """Return the outputs (rows, outputs) of a loaded network for encoded rows (rows, features)."""
    from dnnsweep.trainers import keras_models
    from dnnsweep.trainers.compiled.builder import inputs_of

    return keras_models.predictions_of(network, inputs_of(network, x), len(x))
