"""The documentation site leaves out no page and no public name; `make site` builds it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dnnsweep

ROOT = Path(__file__).resolve().parents[1]
HOME = "README"
SECTIONS = sorted((ROOT / "docs" / "site").glob("*.md"))
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
#: An entry of a toctree: a page, or a title and a page in angle brackets.
ENTRY = re.compile(r"^(?:.*<)?/([^\s>]+)>?$", re.MULTILINE)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTED = re.compile(r"^\.\. auto\w+:: (\S+)$", re.MULTILINE)


def pages() -> set[str]:
    """Return every Markdown file that a reader may want, as the site names it."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {str(file.relative_to(ROOT).with_suffix("")) for file in files if file not in SECTIONS} - {HOME}


def pages_of(section: Path) -> Iterator[str]:
    """Yield the pages in the tables of contents of a section."""
    for table in TOCTREE.findall(section.read_text(encoding="utf-8")):
        for entry in ENTRY.findall(table):
            if "*" in entry:
                yield from (str(file.relative_to(ROOT).with_suffix("")) for file in ROOT.glob(f"{entry}.md"))
            else:
                yield entry


def test_every_page_is_in_a_section_of_the_site() -> None:
    listed = {page for section in SECTIONS for page in pages_of(section)}

    assert pages() - listed == set(), "name these pages in the toctree of a section, a file docs/site/*.md"
    assert listed - pages() == set(), "sections name these pages, which do not exist"


def documented(file: Path) -> list[str]:
    """Return the dotted names that a page of the reference takes from docstrings."""
    return DOCUMENTED.findall(file.read_text(encoding="utf-8"))


def test_the_reference_has_every_public_name_of_the_package() -> None:
    names = documented(ROOT / "docs" / "reference" / "python.md")

    assert sorted(names) == [f"dnnsweep.{name}" for name in sorted(dnnsweep.__all__)]


@pytest.mark.parametrize("name", [name for file in REFERENCE for name in documented(file)])
def test_a_name_of_the_reference_exists(name: str) -> None:
    try:
        documented_thing: object = importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        documented_thing = getattr(importlib.import_module(module), attribute)

    assert documented_thing.__doc__
