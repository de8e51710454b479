"""The models of a sweep: those of trials that no other beats are kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dnnsweep.records import TrialResult
from dnnsweep.settings import BEST


class Models:
    """The folder into which trainers save models, and the place in it of those that are kept.

    Args:
        folder: The sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[int, str] = {}
        self._is_changed = False

    def know(self, number: int, name: str | None) -> None:
        """Note the file of a trial whose model was kept before, if it was."""
        if name is not None:
            self._names[number] = name

    def keep(self, result: TrialResult, *, is_best: bool) -> TrialResult:
        """Move the model of a trial that nothing beats to its place, by whose name in there the ledger knows it."""
        if result.model_path is None:
            return result
        saved = Path(result.model_path)
        if not is_best:
            saved.unlink(missing_ok=True)
            return replace(result, model_path=None)
        place = self._folder / BEST
        place.mkdir(exist_ok=True)
        saved.replace(place / saved.name)
        self._names[result.number] = saved.name
        self._is_changed = True
        return replace(result, model_path=saved.name)

    def forget_beaten(self, kept: Collection[int]) -> None:
        """Remove the models of all trials but those that are kept, once that is stored."""
        if not self._is_changed:
            return
        names = {self._names.get(number) for number in kept}
        for path in (self._folder / BEST).iterdir():
            if path.name not in names:
                path.unlink(missing_ok=True)
        self._is_changed = False

    def forget_unfinished(self) -> None:
        """Remove what trainers saved just before they, or a controller before this one, were killed."""
        for path in self._folder.glob("trial-*"):
            path.unlink(missing_ok=True)
