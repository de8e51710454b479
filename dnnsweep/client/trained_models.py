"""What the trained models of a sweep are good for: saved to a file, loaded, and asked for predictions."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnsweep.client.reads import choose_trial, find_answer
from dnnsweep.errors import DataError, DnnsweepError, ExportError
from dnnsweep.records import Sweep
from dnnsweep.stores import SweepStore
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.resolve import Home, open_store

if TYPE_CHECKING:  # loads pandas
    from dnnsweep.datasets.predictions import DataFrame
    from dnnsweep.datasets.preprocessing import Preprocessing

#: Longest reason of Keras's that is passed on.
MAX_REASON = 300
_NETWORK_ALONE = "export the network alone with --encoded"


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A trial's network with what was fitted to the training rows.

    Args:
        network: Keras model that takes encoded rows, with the weights of the trial's best epoch.
        preprocessing: Preprocessing that it was trained with.
    """

    network: Any
    preprocessing: Preprocessing

    def takes_raw_rows(self) -> Any:
        """Return a Keras model of preprocessing, network and decoding; see `trainers.raw_model`."""
        from dnnsweep.trainers.raw_model import raw_model

        try:
            return raw_model(self.network, self.preprocessing)
        except Exception as error:
            raise ExportError(
                f"Keras cannot put layers before and behind this network ({_reason(error)}); {_NETWORK_ALONE}"
            ) from error


def load_trained_model(name: str, *, number: int | None = None, home: Home = None) -> TrainedModel:
    """Return the model of the retrained winner, or that of a trial with the weights of its best epoch.

    Args:
        name: Name of the sweep.
        number: Number of the trial; None for the retrained winner, or for the best trial if no winner was retrained.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The trial's weights were not kept, the model cannot be loaded here, or its preprocessing was not
            kept and cannot be fitted again.
    """
    with _opened_model(name, number, home) as (store, sweep, path):
        return TrainedModel(_load_network(path, store, sweep), _preprocessing_of(path, store, sweep))


def load_network(name: str, *, number: int | None = None, home: Home = None) -> Any:
    """Return the network alone, which takes encoded rows; see `load_trained_model`."""
    with _opened_model(name, number, home) as (store, sweep, path):
        return _load_network(path, store, sweep)


def predict(
    name: str,
    rows: Any,
    *,
    number: int | None = None,
    home: Home = None,
    on_note: Callable[[str], None] | None = None,
) -> DataFrame:
    """Return what the sweep's model says about new rows: a row for each of them, in their order.

    The columns are `prediction` and, for classes, `probability_LABEL` for each label.

    Args:
        name: Name of the sweep.
        rows: Rows as in training, in any order of columns: a DataFrame, a dictionary of columns, an array, or the path
            of a CSV, parquet or npz file. The target and other columns are not looked at.
        number: Number of the trial; None for the retrained winner, or for the best trial if no winner was retrained.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
        on_note: Called with each sentence about the model and about rows that are unlike those of training; None warns.

    Raises:
        DataError: The rows lack a column, or a column has another type than in training.
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: There is no model; `load_trained_model` says when.
    """
    from dnnsweep.datasets.predictions import join

    def warn(note: str) -> None:
        warnings.warn(note, stacklevel=4)

    return join(predict_blocks(name, rows, number=number, home=home, on_note=on_note or warn))


def predict_blocks(
    name: str, rows: Any, *, number: int | None, home: Home, on_note: Callable[[str], None]
) -> Iterator[DataFrame]:
    """Yield predictions block by block, so that any number of rows fits in memory; see `predict`."""
    from dnnsweep.datasets.drift import Drift
    from dnnsweep.datasets.new_rows import read_new_rows
    from dnnsweep.datasets.predictions import decode
    from dnnsweep.trainers.saved_model import outputs_of

    with _opened_model(name, number, home) as (store, sweep, path):
        fitted, network = _preprocessing_of(path, store, sweep), None
        drift = Drift(fitted.encoding)
        for block in read_new_rows(rows, fitted):
            if network is None:  # only now, because it takes seconds that wrong columns need not wait for
                network = _load_network(path, store, sweep)
            drift.add(block)
            inputs = fitted.encoding.encode(block.numbers, block.text)
            yield decode(outputs_of(network, inputs), fitted.target, block.index)
    for note in drift.notes():
        on_note(note)
    untested = untested_note(name, number, home)
    if untested is not None:
        on_note(untested)


def export_model(
    name: str,
    path: str | os.PathLike[str] | None,
    *,
    number: int | None = None,
    encoded: bool = False,
    home: Home = None,
) -> None:
    """Save the sweep's model to a `.keras` file that loads wherever Keras does.

    Args:
        name: Name of the sweep.
        path: File to write; it must end in `.keras`.
        number: Number of the trial; None for the retrained winner, or for the best trial if no winner was retrained.
        encoded: Whether to save the network alone, which takes encoded rows, instead of a model that takes raw rows.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The file cannot be written, or `load_trained_model` fails.
    """
    if path is None or Path(path).suffix != ".keras":
        raise ExportError("a saved model needs a file that ends in .keras, such as best.keras")
    with _opened_model(name, number, home) as (store, sweep, source):
        if encoded:
            _copy(source, path)
            return
        model = TrainedModel(_load_network(source, store, sweep), _preprocessing_of(source, store, sweep))
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "raw.keras"
            model.takes_raw_rows().save(saved)
            _copy(saved, path)


def _copy(source: Path, path: str | os.PathLike[str]) -> None:
    try:
        shutil.copyfile(source, path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def _opened_model(name: str, number: int | None, home: Home) -> Iterator[tuple[SweepStore, Sweep, Path]]:
    """Open the file of a model; one that a service holds is there as long as the block runs."""
    with open_store(home) as store, tempfile.TemporaryDirectory() as folder:
        sweep, path = store.sweep(name), None
        if number is None:
            path = store.retrained_model(name, Path(folder))
        if path is None:
            path = store.model(name, choose_trial(store, name, number).number, Path(folder))
        yield store, sweep, path


def untested_note(name: str, number: int | None, home: Home) -> str | None:
    """Return that no test score belongs to the weights of a trial; None where nobody could think so.

    Args:
        name: Name of the sweep.
        number: Number of the trial; None for the retrained winner, whose score it is.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
    """
    if number is None:
        return None
    with open_store(home) as store:
        answer = find_answer(store, name)
    if answer is None or not answer.get("test"):
        return None
    return (
        f"these are the weights of trial {number} at its best epoch; the test score of the sweep belongs to the "
        "retrained model, which is taken if no trial is named"
    )


def _load_network(path: Path, store: SweepStore, sweep: Sweep) -> Any:
    from dnnsweep.trainers.saved_model import load_model

    builder = sweep.spec["network"].get("builder")
    if builder is not None and isinstance(store, LocalStore):  # code that a service names is not run here
        from dnnsweep import user_functions

        with suppress(DnnsweepError):  # Keras finds the classes that the module registers; there may be none
            user_functions.load(builder, "network.builder")
    try:
        return load_model(path)
    except Exception as error:
        raise ExportError(f"Keras cannot load the model here ({_reason(error)}); {_NETWORK_ALONE}") from error


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]


def _preprocessing_of(path: Path, store: SweepStore, sweep: Sweep) -> Preprocessing:
    """Return the preprocessing in a model's file; an older dnnsweep kept none, so it is fitted again."""
    from dnnsweep.trainers.saved_model import read_preprocessing

    kept = read_preprocessing(path)
    return _fit_again(store, sweep) if kept is None else kept


def _fit_again(store: SweepStore, sweep: Sweep) -> Preprocessing:
    from dnnsweep import datasets, spec

    missing = f"the model of sweep {sweep.name} was saved by an older dnnsweep, without its preprocessing"
    if not isinstance(store, LocalStore):
        raise ExportError(f"{missing}; ask where its home is, or {_NETWORK_ALONE}")
    checked = spec.check(sweep.spec)
    if checked.dataset.source == spec.HANDED_OVER:
        raise ExportError(f"{missing}, and its rows were passed in Python; run it again under a new name")
    try:
        data = datasets.load(checked.dataset, checked.task, reading=sweep.data.get("reading", {}))
    except DataError as error:
        raise ExportError(f"{missing}, and its data cannot be read again: {error}") from error
    if data.summary.fingerprint != sweep.data["fingerprint"]:
        raise ExportError(
            f"{missing}, and {checked.dataset.source} has changed since; put the old data back, "
            f"run the sweep again under a new name, or {_NETWORK_ALONE}"
        )
    return data.preprocessing
