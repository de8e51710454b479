"""A file of a model as trainers save it, without a network: enough for whoever looks at what it takes and answers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from dnnsweep.records.model_files import INTERFACE, PREPROCESSING


def save_network(path: Path) -> Path:
    """Save the file, and return where."""
    interface = {"columns": ["a"], "row_shape": None, "answers": {"prediction": "float"}, "example": [1.0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(INTERFACE), json.dumps(interface))
        archive.writestr(zipfile.ZipInfo(PREPROCESSING), "{}")
    return path
