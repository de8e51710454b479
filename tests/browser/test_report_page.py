"""Reports of sweeps in a real browser without a network, on a desk, on a phone and on paper; `make test-browser`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from report_cases import CASES

from dnnsweep.reports.report import write_report

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed; `make test-browser` does that"
)

PICTURES: Final = Path(__file__).parent / "pictures"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
#: In a container there are neither a sandbox nor a GPU.
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
#: A screen's width in pixels -> the height that the answer may take, its last lines apart on a phone.
ANSWER_ENDS: Final = {1400: 500, 400: 520}
#: A sheet of A4 between its margins, in pixels.
PAPER: Final = 688
#: Opens the report of a case in a window of a width; returns its page.
Show: TypeAlias = Callable[[str, int], Any]

#: Texts of charts that a reader cannot read: cut off at the edge of the chart, or smaller than eight pixels.
UNREADABLE: Final = """() => [...document.querySelectorAll('svg text')].filter(text => {
    const chart = text.ownerSVGElement.getBoundingClientRect(), box = text.getBoundingClientRect()
    return box.left < chart.left - 1 || box.right > chart.right + 1 || box.bottom > chart.bottom + 1
        || parseFloat(getComputedStyle(text).fontSize) * chart.width / 480 < 8
}).map(text => text.textContent)"""
#: Texts of a chart that lie on each other.
OVERLAPPING: Final = """() => [...document.querySelectorAll('svg')].flatMap(chart => {
    const boxes = [...chart.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()])
    const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
    return boxes.flatMap(([one, a], place) => boxes.slice(place + 1)
        .filter(([_, b]) => meet(a, b)).map(([other]) => `${one.textContent} / ${other.textContent}`))
})"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium; install Debian's package chromium, or name a program in CHROMIUM"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of each case as a file, and the whole one as MLflow shows artifacts: in a frame without an origin."""
    folder = tmp_path_factory.mktemp("reports")
    files = {case: folder / f"{case}.html" for case in CASES}
    for case, file in files.items():
        file.write_text(write_report(CASES[case]()), encoding="utf-8")
    framed = folder / "framed.html"
    content = escape(files["whole"].read_text(encoding="utf-8"))
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{content}" width="1000" height="900"></iframe>'
    framed.write_text(f'<!doctype html><meta charset="utf-8">{frame}', encoding="utf-8")
    return {**files, "framed": framed}


@pytest.fixture
def trouble() -> list[str]:
    """What the pages shown have complained about, and what they asked for beside themselves."""
    return []


@pytest.fixture
def show(browser: Any, reports: dict[str, Path], trouble: list[str]) -> Iterator[Show]:
    contexts = []

    def open_page(case: str, width: int) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, offline=True))
        page, own = contexts[-1].new_page(), reports[case].as_uri()
        page.on("request", lambda asked: None if asked.url in (own, "about:srcdoc") else trouble.append(asked.url))
        page.on("console", lambda line: trouble.append(line.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(own)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", ANSWER_ENDS)
@pytest.mark.parametrize("case", CASES)
def test_a_report_is_readable_at_any_width_and_asks_for_nothing(
    case: str, width: int, show: Show, trouble: list[str]
) -> None:
    page = show(case, width)

    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"report-{case}-{width}.png", full_page=True)
    assert trouble == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(UNREADABLE) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.locator(".answer").bounding_box()["y"] < 150


@pytest.mark.parametrize(("width", "end"), ANSWER_ENDS.items())
def test_the_answer_is_seen_without_scrolling(width: int, end: int, show: Show) -> None:
    page = show("whole", width)

    box = page.locator(".answer").bounding_box()

    assert box["y"] + box["height"] <= end
    effects = page.locator(".answer p").filter(has_text="no effect seen").bounding_box()
    assert effects["y"] + effects["height"] <= 500


@pytest.mark.parametrize("case", ["whole", "two_objectives"])
def test_a_report_is_readable_on_paper(case: str, show: Show, trouble: list[str]) -> None:
    page = show(case, PAPER)
    page.emulate_media(media="print")

    page.screenshot(path=PICTURES / f"report-{case}-print.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    assert page.evaluate(OVERLAPPING) == []
    assert trouble == []


def test_a_report_is_shown_in_a_frame_without_an_origin(show: Show, trouble: list[str]) -> None:
    page = show("framed", 1100)
    report = page.frame_locator("iframe")

    assert report.locator(".answer p").first.inner_text().startswith("Trial 21 leads")
    assert report.locator("svg").first.bounding_box()["width"] > 300
    assert trouble == []
