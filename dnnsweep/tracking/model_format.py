"""The files that make a folder a model of MLflow's: what it takes, what it answers, and what it needs.

Written by hand, because MLflow's own way loads the model first, which takes many seconds.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

EXAMPLE: Final = "input_example.json"
SERVING_EXAMPLE: Final = "serving_input_example.json"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and answers.

    Args:
        columns: Names of the columns of a table; empty where rows are arrays.
        row_shape: Shape of a row that is an array of numbers; None where rows are those of a table.
        outputs: Column of the answer -> MLflow's word for its type.
        example: An example of a row: a value for each column, or numbers (row_shape).
    """

    columns: tuple[str, ...]
    row_shape: tuple[int, ...] | None
    outputs: Mapping[str, str]
    example: Any

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Return the inputs as MLflow describes them.

        The cells of a table may have any type: people write numbers as text, and dates in their own way. MLflow would
        refuse even whole numbers where decimal ones are named.
        """
        if self.row_shape is None:
            return [{"type": "any", "name": name, "required": True} for name in self.columns]
        return [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, *self.row_shape]}}]

    def describe_examples(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the example as it is stored, as a request to a server, and what MLflow must know about it."""
        info = {"artifact_path": EXAMPLE, "serving_input_path": SERVING_EXAMPLE}
        if self.row_shape is None:
            table = {"columns": list(self.columns), "data": [self.example]}
            return table, {"dataframe_split": table}, {**info, "type": "dataframe", "pandas_orient": "split"}
        rows = {"inputs": [self.example]}
        return rows, rows, {**info, "type": "ndarray", "format": "tf-serving"}


def format_files(signature: Signature, requirements: Sequence[str]) -> dict[str, str]:
    """Return the files beside `MLmodel` and the code: path -> text."""
    example, request, _ = signature.describe_examples()
    python = platform.python_version()
    environment = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": list(requirements)}],
    }
    return {
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": json.dumps({"python": python, "dependencies": ["-r requirements.txt"]}),
        "conda.yaml": json.dumps(environment),
        EXAMPLE: json.dumps(example),
        SERVING_EXAMPLE: json.dumps(request),
    }


def write_mlmodel(
    signature: Signature, code: str, artifacts: Mapping[str, str], created_at: str, **identity: str
) -> str:
    """Return the file `MLmodel` as JSON, which is YAML too.

    Args:
        signature: What the model takes and answers.
        code: File of Python with the class of the model.
        artifacts: Name under which the class asks for a file -> path in the folder.
        created_at: When the model was made, in UTC.
        identity: MLflow's names of the model and of its run.
    """
    outputs = [{"type": kind, "name": name, "required": True} for name, kind in signature.outputs.items()]
    flavor = {
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": code,
        "artifacts": {name: {"path": path, "uri": path} for name, path in artifacts.items()},
        "code": None,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "python_version": platform.python_version(),
        "streamable": False,
    }
    content = {
        **identity,
        "flavors": {"python_function": flavor},
        "is_signature_from_type_hint": False,
        "mlflow_version": version("mlflow"),
        "saved_input_example_info": signature.describe_examples()[2],
        "signature": {"inputs": json.dumps(signature.inputs), "outputs": json.dumps(outputs), "params": None},
        "type_hint_from_example": False,
        "utc_time_created": created_at,
    }
    return json.dumps(content, indent=2)
