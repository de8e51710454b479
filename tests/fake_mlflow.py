"""A tracking store in memory: what MLflow would show."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dnnsweep.delivery.shipper import Shipper
from dnnsweep.errors import TrackingError
from dnnsweep.ledger import Ledger
from dnnsweep.profiling import Profile
from dnnsweep.settings import Settings
from dnnsweep.tracking.page import ModelPage, RunPage, RunState


class FakeMlflow:
    """Holds the last page of each run; stands in for `tracking.Tracker`, of which there is one for each home."""

    pages: ClassVar[dict[str, RunPage]] = {}
    is_away: ClassVar[bool] = False

    def __init__(self, _settings: object) -> None:
        pass

    def prepare(self) -> None:
        if FakeMlflow.is_away:
            raise TrackingError("MLflow is away")

    check = prepare

    def put(self, page: RunPage) -> str:
        self.prepare()
        FakeMlflow.pages[page.key] = page
        return page.key

    def put_model(self, page: ModelPage) -> None:
        pass

    def delete_models(self, run_id: str) -> None:
        pass

    def delete(self, run_id: str) -> None:
        self.prepare()
        FakeMlflow.pages.pop(run_id, None)

    def run(self, run_id: str) -> RunState | None:
        return next((run for run in self.runs("", "") if run.run_id == run_id), None)

    def runs(self, _: str, prefix: str) -> list[RunState]:
        self.prepare()
        return [state_of(page) for key, page in FakeMlflow.pages.items() if key.startswith(prefix)]

    def optimise(self) -> None:
        pass


def state_of(page: RunPage) -> RunState:
    """Return the run that shows a page, whose id is the page's key."""
    return RunState(
        run_id=page.key,
        key=page.key,
        status=page.status,
        started_at=page.started_at,
        is_deleted=False,
        params=page.all_params,
        tags=page.all_tags,
        n_metrics=0,
        datasets=frozenset() if page.dataset is None else frozenset({(page.dataset.name, page.dataset.digest)}),
    )


def ship_in_this_process(settings: Settings, sweep_id: str, _: Profile) -> Shipper:
    """Stand in for `ShipperProcess`, whose process could not see what this one holds."""
    return Shipper(Ledger.open(settings.database_url), FakeMlflow(settings), settings, sweep_id)


def use_fake_mlflow(patch: pytest.MonkeyPatch) -> None:
    """Let runs, workers and doctor of this process deliver to an empty `FakeMlflow`."""
    for module in ("runner.shipping", "delivery.shipper", "tracking"):
        patch.setattr(f"dnnsweep.{module}.Tracker", FakeMlflow)
    patch.setattr("dnnsweep.runner.shipping.ShipperProcess", ship_in_this_process)
    patch.setattr(FakeMlflow, "pages", {})
    patch.setattr(FakeMlflow, "is_away", False)
