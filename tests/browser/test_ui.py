"""What MLflow's UI shows of a sweep that was submitted through the API, in a real browser; `make test-browser`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeAlias
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import postgres
import pytest
from workspace import Workspace, prepared, wait_until

import dnnsweep
from dnnsweep.ledger import Ledger
from dnnsweep.records import Candidate, Sweep, Trial

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed; `make test-browser` does that"
)

PICTURES: Final = Path(__file__).parent / "pictures"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
#: Nothing is asked for on the network; in a container there are neither a sandbox nor a GPU.
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Milliseconds until a page has to show what is waited for, on a busy machine.
PAGE_MILLISECONDS: Final = 60_000
#: Large enough for all charts of a run; the UI draws only those that are in sight.
WINDOW: Final = {"width": 1200, "height": 1400}
#: Opens a place of the UI, with a query; returns the page.
Show: TypeAlias = Callable[..., Any]
SPACE: Final = {"dropout": {"low": 0.0, "high": 0.5}, "optimizer": ["sgd", "adam"]}
N_TRIALS: Final = {"curves": 8, "other": 4}
#: Two trials and the baseline are repeated; without test rows no winner is retrained.
CONFIRM: Final = {"curves": {"top": 2, "blocks": 3, "budget": 0}, "other": None}
#: Title of each chart of a run -> the points that it draws, as (step, value).
CHARTS: Final = """() => Object.fromEntries(
    [...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card]')]
        .map(card => [card.innerText.split('\\n')[0], card.querySelector('.js-plotly-plot')?.data?.[0]])
        .filter(([_, line]) => line?.x && line?.y)
        .map(([title, line]) => [title, Array.from(line.x, (step, i) => [Number(step), Number(line.y[i])])])
)"""


pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium; install Debian's package chromium, or name a program in CHROMIUM"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Workspace]:
    """A home with two sweeps that a worker ran for an API."""
    workspace = prepared(tmp_path_factory.mktemp("ui"), template, {})
    try:
        address = _serve(workspace)
        workspace.start("worker")
        for name, n_trials in N_TRIALS.items():
            data, trials = {"source": "sklearn:digits", "test": 0.0}, {"trials": n_trials}
            sections = {"dataset": data, "space": SPACE, "training": {"epochs": 12}, "budget": trials}
            file = workspace.file(name=name, confirm=CONFIRM[name], **sections)
            submitted = workspace.run("submit", file, "--wait", environ={"DNNSWEEP_API_URL": address})
            assert submitted.code == 0, submitted.err
        yield workspace
    finally:
        workspace.end()


def _serve(workspace: Workspace) -> str:
    port = postgres.free_port()
    serving = workspace.start("serve", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    assert wait_until(lambda: _answers(f"{address}/readyz")), serving.err
    return address


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310  loopback
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def address(workspace: Workspace) -> str:
    """The UI's address, up to its pages."""
    ui = workspace.start("ui", "--port", str(postgres.free_port()))
    assert wait_until(lambda: bool(ui.out.strip())), ui.err
    return ui.out.strip().partition("#")[0]


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """A page of a browser in which the UI's assistant is closed."""
    PICTURES.mkdir(exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PAGE_MILLISECONDS)
        page.goto(f"{address}#/experiments")
        page.get_by_role("button", name="Close", exact=True).click()
        yield page
        browser.close()


@pytest.fixture(scope="module")
def experiments(page: Any) -> dict[str, str]:
    """The sweeps' experiments, as the UI's list of them links to them."""
    links = {name: page.get_by_role("link", name=name, exact=True).first for name in N_TRIALS}
    return {
        name: link.get_attribute("href").rpartition("/experiments/")[2].partition("/")[0]
        for name, link in links.items()
    }


@pytest.fixture(scope="module")
def sweep(workspace: Workspace) -> Sweep:
    return dnnsweep.show("curves", home=workspace.home)


@pytest.fixture(scope="module")
def trials(workspace: Workspace) -> list[Trial]:
    return workspace.trials("curves")


@pytest.fixture(scope="module")
def candidates(workspace: Workspace) -> list[Candidate]:
    with closing(Ledger.open(f"sqlite:///{workspace.home / 'dnnsweep.db'}")) as ledger:
        return ledger.candidates(ledger.sweep("curves"))


@pytest.fixture
def show(page: Any, address: str) -> Show:
    """Open a place of the UI; return the page."""

    def opened(place: str, **query: str) -> Any:
        words = {"workflowType": "machine_learning", **query}
        page.goto("about:blank")  # another fragment alone loads nothing anew
        page.goto(f"{address}#/{place}?" + "&".join(f"{name}={quote(value)}" for name, value in words.items()))
        return page

    return opened


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, page: Any) -> Iterator[None]:
    """Keep what a test saw last, whether it passed or failed."""
    yield
    page.screenshot(path=PICTURES / f"{request.node.name.removeprefix('test_')}.png")


def runs(page: Any, n_runs: int) -> list[str]:
    """Return the ids of the runs that a list shows, from the top, once there are so many."""
    names = page.locator("[role=gridcell][col-id*='Run Name'] a")
    names.nth(n_runs - 1).wait_for()
    return [link.get_attribute("href").rpartition("/runs/")[2].partition("?")[0] for link in names.all()]


def charts(page: Any, *metrics: str) -> dict[str, list[list[float]]]:
    """Return the points, (step, value), that the charts of a run draw, once those of some metrics are there."""
    page.wait_for_function(
        f"names => {{ const drawn = ({CHARTS})(); return names.every(name => drawn[name]) }}", arg=metrics
    )
    drawn: dict[str, list[list[float]]] = page.evaluate(CHARTS)
    return drawn


def test_the_view_of_a_sweep_lists_its_own_run_and_then_its_trials_as_best_ranks_them(
    show: Show, workspace: Workspace, experiments: dict[str, str], sweep: Sweep, trials: list[Trial]
) -> None:
    page = show(f"experiments/{experiments['curves']}/runs", viewStateShareKey="dnnsweep-maximize")

    ranked = dnnsweep.best("curves", top=len(trials), home=workspace.home)
    listed = runs(page, 1 + len(trials))
    assert listed[: 1 + len(ranked)] == [sweep.run_id, *(trial.run_id for trial in ranked)]
    assert set(listed) == {sweep.run_id, *(trial.run_id for trial in trials)}  # no repeats of candidates
    columns = page.locator("[role=columnheader][col-id]").evaluate_all(
        "cells => cells.sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)"
        ".map(cell => cell.getAttribute('col-id'))"
    )
    order = ["metrics.`objective`", *(f"params.`{name}`" for name in SPACE), "tags.`dnnsweep.state`"]
    assert [name for name in columns if name in order] == order
    assert "params.`batch_size`" not in columns


def test_the_charts_of_a_sweep_begin_with_what_was_searched_and_what_was_validated(
    show: Show, experiments: dict[str, str]
) -> None:
    view = {"viewStateShareKey": "dnnsweep-maximize", "compareRunsMode": "CHART"}
    page = show(f"experiments/{experiments['curves']}/runs", **view)

    page.get_by_text("Parallel Coordinates").wait_for()
    page.get_by_text("val_accuracy").first.wait_for()
    cards = page.locator("[data-testid=experiment-view-compare-runs-card]")
    titles = [text.split("\n")[0] for text in cards.all_inner_texts()]

    assert titles[:3] == ["Parallel Coordinates", "val_accuracy", "val_loss"]


def test_the_page_of_a_sweep_leads_to_its_best_trial(
    show: Show, workspace: Workspace, experiments: dict[str, str], sweep: Sweep
) -> None:
    best = dnnsweep.best("curves", home=workspace.home)[0]
    page = show(f"experiments/{experiments['curves']}/runs/{sweep.run_id}")

    link = page.get_by_role("link", name=f"trial {best.number}", exact=True).first
    link.wait_for()
    page.goto(page.url.partition("#")[0] + link.get_attribute("href"))

    page.get_by_text("Curves, and the metrics beside them, show the last epoch.").wait_for()
    assert str(best.run_id) in page.url


def test_trials_and_candidates_are_folded_under_the_run_of_their_sweep(
    show: Show, experiments: dict[str, str], sweep: Sweep, trials: list[Trial], candidates: list[Candidate]
) -> None:
    page = show(f"experiments/{experiments['curves']}/runs")

    assert runs(page, 1) == [sweep.run_id]
    page.locator("[role=gridcell][col-id*='Run Name'] button").first.click()
    unfolded = runs(page, 1 + len(trials) + len(candidates))

    assert unfolded[0] == sweep.run_id
    assert set(unfolded[1:]) == {trial.run_id for trial in trials} | {one.run_id for one in candidates}


def test_the_page_of_a_candidate_draws_its_scores_by_block(
    show: Show, experiments: dict[str, str], workspace: Workspace, candidates: list[Candidate]
) -> None:
    page = show(f"experiments/{experiments['curves']}/runs/{candidates[0].run_id}/model-metrics")

    drawn = charts(page, "objective", "mean_objective")

    with closing(Ledger.open(f"sqlite:///{workspace.home / 'dnnsweep.db'}")) as ledger:
        values = [repeat.value for repeat in ledger.repeats(ledger.sweep("curves"), candidates[0].number)]
    assert drawn["objective"] == [[block, value] for block, value in enumerate(values)]
    assert drawn["mean_objective"][-1] == [len(values), fmean(value for value in values if value is not None)]


def test_the_run_of_a_sweep_draws_the_best_value_so_far_over_its_trials(
    show: Show, experiments: dict[str, str], sweep: Sweep, trials: list[Trial]
) -> None:
    page = show(f"experiments/{experiments['curves']}/runs/{sweep.run_id}/model-metrics")

    drawn = charts(page, "best_value")

    best = accumulate((trial.value for trial in trials if trial.value is not None), max)
    assert drawn == {"best_value": [[trial.number, value] for trial, value in zip(trials, best, strict=True)]}


def test_the_page_of_a_trial_tells_every_hyperparameter(
    show: Show, experiments: dict[str, str], trials: list[Trial]
) -> None:
    trial = trials[5]
    page = show(f"experiments/{experiments['curves']}/runs/{trial.run_id}")

    page.get_by_role("row").filter(has_text="learning_rate").wait_for()
    told = dict(row.inner_text().split("\n", 1) for row in page.get_by_role("row").all())

    assert {name: told.get(name) for name in trial.params} == {name: str(value) for name, value in trial.params.items()}


def test_the_page_of_a_trial_draws_the_curves_of_the_ledger(
    show: Show, workspace: Workspace, experiments: dict[str, str], trials: list[Trial]
) -> None:
    trial = trials[5]
    curve = dnnsweep.curve("curves", trial.number, home=workspace.home)
    page = show(f"experiments/{experiments['curves']}/runs/{trial.run_id}/model-metrics")

    drawn = charts(page, "loss", "val_loss", "accuracy", "val_accuracy")

    for metric in ("loss", "val_loss", "accuracy", "val_accuracy"):
        assert drawn[metric] == [[epoch, value] for epoch, value in enumerate(curve.values(metric), 1)]


def test_a_list_of_all_sweeps_filtered_by_one_shows_its_trials_alone_and_best_first(
    show: Show, experiments: dict[str, str], trials: list[Trial], candidates: list[Candidate]
) -> None:
    places = json.dumps(list(experiments.values()))
    page = show("compare-experiments/s", experiments=places, orderByKey="metrics.`objective`", orderByAsc="false")
    n_runs = sum(N_TRIALS.values()) + len(N_TRIALS) + len(candidates)
    assert len(runs(page, n_runs)) == n_runs

    page.get_by_test_id("search-box").fill("tags.\"dnnsweep.sweep\" = 'curves' and metrics.objective > 0")
    page.keyboard.press("Enter")
    page.get_by_text(f"{len(trials)} matching runs").wait_for()

    values = {trial.run_id: trial.value for trial in trials if trial.value is not None}
    listed = runs(page, len(trials))
    assert set(listed) == set(values)
    assert [values[run] for run in listed] == sorted(values.values(), reverse=True)
