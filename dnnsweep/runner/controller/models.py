"""The models of a sweep: those of trials that no other beats are kept, or all where the sweep file asks for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dnnsweep.records import TrialResult
from dnnsweep.settings import BEST


class Models:
    """Moves the models that are kept to a folder of their own, and removes all others.

    Args:
        folder: The folder into which trainers save models.
        kept: Name of the folder below it for those that are kept.
    """

    def __init__(self, folder: Path, kept: str = BEST) -> None:
        self._folder = folder
        self._kept = folder / kept
        self._names: dict[int, str] = {}
        self._is_changed = False

    def restore(self, number: int, name: str | None) -> None:
        """Note the file of a trial's model that an earlier run of the sweep kept; None if it kept none."""
        if name is not None:
            self._names[number] = name

    def keep(self, result: TrialResult, *, is_kept: bool) -> TrialResult:
        """Move the model of a trial to the kept ones, or remove it.

        Args:
            result: How the trial ended, with the path at which its trainer saved the model.
            is_kept: Whether no other trial beats it, or all models are kept.

        Returns:
            The result with the name of the kept file, under which the ledger stores it; None where nothing is kept.
        """
        if result.model_path is None:
            return result
        saved = Path(result.model_path)
        if not is_kept:
            saved.unlink(missing_ok=True)
            return replace(result, model_path=None)
        self._kept.mkdir(exist_ok=True)
        saved.replace(self._kept / saved.name)
        self._names[result.number] = saved.name
        self._is_changed = True
        return replace(result, model_path=saved.name)

    def remove_beaten(self, kept: Collection[int]) -> None:
        """Remove the kept models of beaten trials; called once the ledger does not name them any more.

        Args:
            kept: Numbers of the trials that no other beats.
        """
        if not self._is_changed:
            return
        names = {self._names.get(number) for number in kept}
        for path in self._kept.iterdir():
            if path.name not in names:
                path.unlink(missing_ok=True)
        self._is_changed = False

    def remove_unfinished(self) -> None:
        """Remove what trainers saved just before they, or an earlier controller, were killed."""
        for path in self._folder.glob("trial-*"):
            path.unlink(missing_ok=True)
