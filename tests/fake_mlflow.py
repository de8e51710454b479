"""A tracking store in memory: what MLflow would show."""

from __future__ import annotations

from typing import ClassVar

from dnnsweep.errors import TrackingError
from dnnsweep.tracking.page import RunPage


class FakeMlflow:
    """Holds the last page of each run; stands in for `tracking.Tracker`, of which there is one for each home."""

    pages: ClassVar[dict[str, RunPage]] = {}
    is_away: ClassVar[bool] = False

    def __init__(self, _settings: object) -> None:
        pass

    def prepare(self) -> None:
        if FakeMlflow.is_away:
            raise TrackingError("the shelf is away")

    def put(self, page: RunPage) -> str:
        self.prepare()
        FakeMlflow.pages[page.key] = page
        return page.key

    def delete(self, run_id: str) -> None:
        self.prepare()
        FakeMlflow.pages.pop(run_id, None)

    def optimise(self) -> None:
        pass
