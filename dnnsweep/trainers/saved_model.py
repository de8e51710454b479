"""A saved model, loaded for somebody who wants to use it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from dnnsweep.processes import silence_stderr


def load_model(path: Path) -> Any:
    """Return the Keras model in a `.keras` file; importing Keras takes seconds the first time."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr(is_needed="tensorflow" not in sys.modules):
        import keras
    return keras.models.load_model(path)
