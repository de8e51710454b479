"""How Sphinx builds the documentation site; `make site` calls it.

The source folder is the root of the repository, so a link from one Markdown file to another leads to the same page on
the site as in the repository.
"""

from __future__ import annotations

import shutil
from dataclasses import is_dataclass
from enum import Enum
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

#: The pages that divide the site into sections, in the order of the site's header.
SECTIONS: Final = ("start", "sweep-file", "operation", "reference", "measurements", "development")

project = "dnnsweep"
version = release = version_of("dnnsweep")
html_title = "dnnsweep"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [".*", "bench", "build", "compose", "dist", "dnnsweep", "sweeps", "tests", "tools"]

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4

add_module_names = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
default_role = "code"  # docstrings put code into single backticks
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "dnnsweep"},
    "header_links_before_dropdown": len(SECTIONS),
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["sphinx-version"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
}
html_sidebars: dict[str, list[str]] = {"README": []}


def add_sections(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append the site's sections to the home page, where the repository's README has none."""
    if page == root_doc:
        entries = "\n".join(f"docs/site/{section}" for section in SECTIONS)
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def unlink_folders(app: Sphinx, tree: nodes.document) -> None:
    """Leave only the text of links to folders of the repository: the site has no page for them."""
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(tree.findall(pending_xref)):
        target = str(link.get("reftarget", ""))
        if link.get("reftype") == "myst" and target and (folder / target).is_dir():
            link.replace_self(link.children)


def hide_constructor(
    _app: Sphinx, kind: str, _name: str, thing: Any, _options: Any, arguments: str | None, _returns: str | None
) -> tuple[str, str] | None:
    """Show no constructor of a class that readers are handed, catch or implement, and never call."""
    if not arguments or kind not in {"class", "exception"}:
        return None
    is_protocol = getattr(thing, "_is_protocol", False)
    return ("", "") if is_dataclass(thing) or is_protocol or issubclass(thing, Enum | Exception) else None


def copy_home(app: Sphinx, error: Exception | None) -> None:
    """Give the home page the name that web servers look for."""
    if error is None and app.builder.name == "html":
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Connect what this site adds to Sphinx."""
    app.connect("source-read", add_sections)
    app.connect("doctree-read", unlink_folders)
    app.connect("autodoc-process-signature", hide_constructor)
    app.connect("build-finished", copy_home)
