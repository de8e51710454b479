"""The pages that `make site` has built lead only to what is there, and load nothing from other addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest

SITE: Final = Path(__file__).resolve().parents[2] / "build" / "site"
#: What lies below `_static` with this ending are the theme's templates.
PAGES: Final = sorted(
    str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if SITE / "_static" not in page.parents
)
STYLES: Final = sorted(str(style.relative_to(SITE)) for style in SITE.rglob("*.css"))
#: Attributes whose address a browser loads by itself; an `a` is followed by a reader only.
LOADED: Final = {"src", "srcset", "poster", "data"}
URL: Final = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Page(HTMLParser):
    """Collects the addresses in a page: those that a browser loads, and those that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.anchors.add(value)
            elif name in LOADED or (name == "href" and tag == "link"):
                self.loaded.append(value)
            elif name == "href":
                self.links.append(value)
            elif name == "style":
                self.loaded.extend(addresses(value))


@cache
def read(page: str) -> Page:
    """Return what stands in a page."""
    parsed = Page()
    parsed.feed((SITE / page).read_text(encoding="utf-8"))
    return parsed


def addresses(style: str) -> Iterator[str]:
    """Yield the addresses that a style sheet loads; `data:` carries its content along."""
    for quoted, imported in URL.findall(style):
        if not (quoted or imported).startswith("data:"):
            yield quoted or imported


def leads_out_or_nowhere(start: str, address: str) -> bool:
    """Return whether an address in a file of the site leads to another server, or to no file."""
    parts = urlsplit(address)
    path = (SITE / start).parent / unquote(parts.path) if parts.path else SITE / start
    return bool(parts.scheme or parts.netloc) or not path.resolve().is_file()


def test_the_home_page_has_the_name_that_web_servers_look_for() -> None:
    assert "index.html" in PAGES
    assert {"start.html", "reference.html"} <= {Path(link).name for link in read("index.html").links}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_only_files_of_the_site(page: str) -> None:
    assert [address for address in read(page).loaded if leads_out_or_nowhere(page, address)] == []


@pytest.mark.parametrize("style", STYLES)
def test_a_style_sheet_loads_only_files_of_the_site(style: str) -> None:
    text = (SITE / style).read_text(encoding="utf-8")

    assert [address for address in addresses(text) if leads_out_or_nowhere(style, address)] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_link_to_the_site_itself_leads_to_its_page_and_place(page: str) -> None:
    for link in read(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        assert not leads_out_or_nowhere(page, link), link
        target = (SITE / page).parent.joinpath(unquote(parts.path)).resolve() if parts.path else SITE / page
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in read(str(target.relative_to(SITE))).anchors, link


def test_every_public_function_has_its_place_in_the_reference() -> None:
    anchors = read("docs/reference/python.html").anchors

    assert {"dnnsweep.run", "dnnsweep.best", "dnnsweep.SweepHandle.best"} <= anchors
