"""The documentation site in a real browser; `make test-browser` builds it first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeAlias

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed; `make test-browser` does that"
)

SITE: Final = Path(__file__).resolve().parents[2] / "build" / "site"
PICTURES: Final = Path(__file__).parent / "pictures"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
#: In a container there are neither a sandbox nor a GPU.
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAGES: Final = {
    "home": "index.html",
    "guide": "docs/data.html",
    "commands": "docs/cli.html",
    "python": "docs/reference/python.html",
}
#: A screen's width -> what of the page it shows at once.
WIDTHS: Final = {"desktop": 1400, "phone": 400}
#: Opens a page of the site in a window of a width, in light or dark; returns it.
Show: TypeAlias = Callable[..., Any]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium; install Debian's package chromium, or name a program in CHROMIUM"
)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the site as any web server does: files and nothing else."""
    assert (SITE / "index.html").is_file(), "run `make site`"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=SITE)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def trouble() -> list[str]:
    """What the pages shown have complained about, and what they asked other servers for."""
    return []


@pytest.fixture
def show(browser: Any, address: str, trouble: list[str]) -> Iterator[Show]:
    contexts = []

    def open_page(path: str, width: int = 1400, scheme: str = "light") -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on(
            "request", lambda asked: None if asked.url.startswith((address, "data:")) else trouble.append(asked.url)
        )
        page.on("response", lambda answer: trouble.append(answer.url) if answer.status >= 400 else None)
        page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(address + path, wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_window_and_asks_no_other_server(
    name: str, width: str, scheme: str, show: Show, trouble: list[str]
) -> None:
    page = show(PAGES[name], WIDTHS[width], scheme)

    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"site-{name}-{width}-{scheme}.png")
    assert trouble == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_search_finds_a_page_and_a_function_without_a_server_side_part(show: Show, trouble: list[str]) -> None:
    page = show("search.html?q=model_file")

    page.wait_for_selector("#search-results li")

    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")
    assert any(link.endswith("docs/reference/python.html#dnnsweep.model_file") for link in links)
    assert trouble == []


def test_a_phone_reaches_every_section_by_the_menu(show: Show) -> None:
    page = show(PAGES["guide"], WIDTHS["phone"])

    page.click("button.primary-toggle")

    for section in ("Start", "Reference"):
        assert page.locator("dialog").get_by_role("link", name=section, exact=True).is_visible()
