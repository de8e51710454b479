"""The code of a model for MLflow, which runs without dnnsweep: a class, and the modules that read and encode raw rows.

The class is a file of Python. The modules are those of the layer `datasets` and below, in an archive that Python
imports from, under a name that tells their content: models of several versions load in one process.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

#: Packages whose modules are in the archive, beside the modules that stand alone.
PACKAGES: Final = ("datasets", "spec", "space", "records")
#: Distributions that the code needs, with the one of several that is installed.
NEEDED: Final = (
    ("mlflow", "mlflow-skinny"),
    ("tensorflow", "tensorflow-cpu"),
    ("keras",),
    ("numpy",),
    ("pandas",),
    ("scikit-learn",),
    ("pyarrow",),
    ("pydantic",),
    ("PyYAML",),
)
_IMPORT: Final = re.compile(r"^(\s*)(from|import) dnnsweep\b", re.MULTILINE)
#: The time of all entries of an archive, so that equal modules make equal archives.
_TIME: Final = (1980, 1, 1, 0, 0, 0)

_CODE: Final = '''\
"""{title}.

Takes raw rows and returns predictions. Written by dnnsweep {version}, and works without it.
"""

import os
import sys
from importlib import import_module

import numpy as np
import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

#: The modules that read and encode rows, in rows.zip.
PACKAGE = "{package}"


class TrainedNetwork(PythonModel):
    """A network with what was fitted to the training rows."""

    def load_context(self, context):
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.path.append(context.artifacts["rows"])
        import keras

        self._rows = import_module(PACKAGE + ".datasets.new_rows")
        self._answers = import_module(PACKAGE + ".datasets.predictions")
        self._error = import_module(PACKAGE + ".errors").DnnsweepError
        with open(context.artifacts["preprocessing"], "rb") as file:
            self._fitted = import_module(PACKAGE + ".datasets.preprocessing").Preprocessing.from_text(file.read())
        self._network = keras.models.load_model(context.artifacts["network"], compile=False)

    def predict(self, context, model_input: {rows}, params=None) -> pd.DataFrame:
        try:
            blocks = self._rows.read_new_rows(model_input, self._fitted)
            return self._answers.join(self._predict(block) for block in blocks)
        except self._error as error:  # rows that lack something or are of another type
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error

    def _predict(self, block):
        encoded = self._fitted.encoding.encode(block.numbers, block.text)
        outputs = self._network.predict(self._inputs(encoded), verbose=0)
        return self._answers.decode(outputs, self._fitted.target, block.index)

    def _inputs(self, encoded):
        """Divide the columns among the inputs of the network, in their order."""
        shapes = [tensor.shape[1:] for tensor in self._network.inputs]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = np.split(encoded, ends[:-1], axis=1)
        shaped = [part.reshape(len(part), *shape) for part, shape in zip(parts, shapes)]
        return shaped[0] if len(shaped) == 1 else shaped


set_model(TrainedNetwork())
'''


@dataclass(frozen=True, slots=True)
class RowModules:
    """The modules that read and encode raw rows.

    Args:
        package: Name of the package that they are imported by.
        archive: Zip archive that Python imports the package from.
    """

    package: str
    archive: bytes


@cache
def pack_row_modules() -> RowModules:
    """Return the modules of this version; they do not change while a process lives."""
    root = Path(__file__).parents[1]
    files = [file for file in root.glob("*.py") if not file.name.startswith("__")]
    files += [file for name in PACKAGES for file in (root / name).rglob("*.py")]
    texts = {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in sorted(files)}
    content = "".join(f"{name}\0{text}\0" for name, text in texts.items())
    package = f"dnnsweep_{zlib.crc32(content.encode()):08x}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {"__init__.py": "", **texts}.items():
            renamed = _IMPORT.sub(rf"\1\2 {package}", text)
            archive.writestr(zipfile.ZipInfo(f"{package}/{name}", _TIME), renamed, zipfile.ZIP_DEFLATED)
    return RowModules(package, buffer.getvalue())


def write_model_class(title: str, *, is_table: bool) -> str:
    """Return the file of Python that MLflow calls; it finds the modules by their name.

    Args:
        title: What model it is.
        is_table: Whether rows are those of a table, and not an array.
    """
    rows = "pd.DataFrame" if is_table else "np.ndarray"
    return _CODE.format(title=title, version=version("dnnsweep"), package=pack_row_modules().package, rows=rows)


def list_requirements() -> list[str]:
    """Return the distributions that the code needs, pinned to the versions that are installed here."""
    return [pin for names in NEEDED if (pin := next(filter(None, map(_pin, names)), None)) is not None]


def _pin(name: str) -> str | None:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return None
