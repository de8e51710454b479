"""A sweep by its name, for scripts and notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnsweep.client import reads, trained_models
from dnnsweep.errors import DnnsweepError, ExportError
from dnnsweep.records import Sweep, SweepState, Trial
from dnnsweep.settings import find_settings
from dnnsweep.stores.resolve import Home, remote_store

if TYPE_CHECKING:  # loaded by the methods that need them
    from dnnsweep.answers.answer import Answer
    from dnnsweep.reports.figures import Figure
    from dnnsweep.reports.trial_frame import DataFrame
    from dnnsweep.study.finished_study import OptunaStudy

#: How many trials the summary in a notebook lists.
N_LISTED = 5


@dataclass(frozen=True, slots=True, repr=False)
class SweepHandle:
    """A sweep by its name; every method reads the ledger anew.

    Args:
        name: Name of the sweep.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`.
    """

    name: str
    home: Path | None

    def __repr__(self) -> str:
        from dnnsweep.reports.sweep_summary import summarize

        try:
            return summarize(*reads.show_best(self.name, top=1, home=self.home))
        except DnnsweepError as error:
            return f"<sweep {self.name}: {error}>"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows; None where the sweep cannot be read."""
        from dnnsweep.reports.sweep_summary import summarize_as_html

        try:
            return summarize_as_html(*reads.show_best(self.name, top=N_LISTED, home=self.home))
        except DnnsweepError:
            return None

    @property
    def state(self) -> SweepState:
        """Return where the sweep stands."""
        return self.show().state

    @property
    def best_params(self) -> dict[str, Any]:
        """Return the hyperparameters of the winner, or else of the best trial, fixed ones too.

        Raises:
            SweepNotFoundError: No trial is complete.
        """
        return reads.best_params(self.name, home=self.home)

    def show(self) -> Sweep:
        """Return the sweep."""
        return reads.show(self.name, home=self.home)

    def trials(self, where: str | None = None) -> list[Trial]:
        """Return the trials that meet a condition, in their order."""
        return reads.trials(self.name, where=where, home=self.home)

    def best(self, top: int | None = None, where: str | None = None) -> list[Trial]:
        """Return the best trials that meet a condition, best first; see `client.best`."""
        return reads.best(self.name, top=top, where=where, home=self.home)

    def answer(self) -> Answer:
        """Return what the sweep answers: its winner, what that is worth, and which techniques made the difference.

        Raises:
            SweepNotFoundError: The sweep has no answer yet; the message says what to do.
        """
        return reads.answer(self.name, home=self.home)

    def report(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report of the sweep as an HTML page, and write it to a file if one is named; see `report`."""
        return reads.report(self.name, path, home=self.home)

    def importances(self) -> dict[str, float]:
        """Return how important each hyperparameter was in the search, which is no effect; see `importances`."""
        return reads.importances(self.name, home=self.home)

    def to_dataframe(self, where: str | None = None) -> DataFrame:
        """Return the trials that meet a condition as a table: a row for each trial, a column for each hyperparameter.

        Columns are `state`, `reason`, `value`, `confirmed` (the mean of the repeats, if any trial was repeated), the
        hyperparameters by their names, `metrics.NAME` for each metric at
        the best epoch, and how the trial was trained. The index is the trial's number.
        """
        from dnnsweep.reports.trial_frame import make_trial_frame

        return make_trial_frame(self.trials(where))

    def study(self, *, with_curves: bool = False) -> OptunaStudy:
        """Return the trials as an Optuna study in memory, for Optuna's importances and plots.

        Args:
            with_curves: Whether trials get the first objective at each epoch as intermediate values; read one by one.
        """
        return reads.optuna_study(self.name, with_curves=with_curves, home=self.home)

    def plot(self, kind: str = "history", where: str | None = None) -> Figure:
        """Return a figure of the trials that meet a condition or of the answer, made by Plotly.

        A figure shows at most 2,000 trials and says so. An objective to minimize that spans two decades or more is
        shown in its logarithm.

        Args:
            kind: `history` for the value of each trial and the best one so far, `slices` for the value by each searched
                hyperparameter, `parallel_coordinates` for a line through all of them with the best fifth highlighted,
                `learning_curves` for the value at each epoch of the best and the median trial. With two objectives
                `history` and `slices` have panels for both, `parallel_coordinates` highlights the Pareto front, and
                `learning_curves` takes the best and the median trial in the first objective.
                Of the answer there are `effects` with both of their intervals, `repeats` for the mean of each
                configuration that was repeated and its scores, and `importance`.
            where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials. Figures of the
                answer take none.

        Raises:
            ExportError: There is no figure of this kind, it takes no condition, or Plotly is not
                installed (`dnnsweep[plots]`).
        """
        return reads.figure(self.name, kind, where=where, home=self.home)

    def model(self, number: int | None = None, *, encoded: bool = False) -> Any:
        """Return the Keras model of the retrained winner, or that of a trial with the weights of its best epoch.

        It takes raw rows.

        Args:
            number: Number of the trial; None for the retrained winner, or for the best trial if none was retrained.
            encoded: Whether to return the network alone, which takes encoded rows.

        Raises:
            ExportError: The trial's weights were not kept, because another trial beats it.
        """
        if encoded:
            return trained_models.load_network(self.name, number=number, home=self.home)
        return trained_models.load_trained_model(self.name, number=number, home=self.home).takes_raw_rows()

    def predict(
        self, rows: Any, number: int | None = None, *, on_note: Callable[[str], None] | None = None
    ) -> DataFrame:
        """Return what the sweep's model says about new rows; see `dnnsweep.predict`.

        Args:
            rows: DataFrame, dictionary of columns, array, or path of a CSV, parquet or npz file.
            number: Number of the trial; None for the retrained winner, or for the best trial if none was retrained.
            on_note: Called with each sentence about the model and about unusual rows; None warns.
        """
        return trained_models.predict(self.name, rows, number=number, home=self.home, on_note=on_note)

    def export(
        self,
        form: str = "python",
        path: str | os.PathLike[str] | None = None,
        number: int | None = None,
        *,
        encoded: bool = False,
    ) -> str:
        """Export a trial's configuration.

        Args:
            form: `python` for Keras code, `yaml` for a sweep file with everything fixed, `keras` for a saved model.
            path: File to write; None only returns the text. A saved model needs one.
            number: Number of the trial; None for the winner, or else for the best one.
            encoded: Whether a saved model is the network alone, which takes encoded rows; else it takes raw rows.

        Returns:
            The text that was exported; for a saved model the path of its file.

        Raises:
            ExportError: The form is unknown, the file cannot be written, or the trial's weights were not kept.
        """
        if form == "keras":
            trained_models.export_model(self.name, path, number=number, encoded=encoded, home=self.home)
            return str(path)
        text = reads.export(self.name, form=form, number=number, home=self.home)
        if path is not None:
            try:
                Path(path).write_text(text, encoding="utf-8")
            except OSError as error:
                raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        return text


def handle_on(name: str, home: Home) -> SweepHandle:
    """Return a handle on a sweep of a home, or of the service that is asked instead of a home."""
    return SweepHandle(name, None if remote_store(home) is not None else find_settings(home).home)
