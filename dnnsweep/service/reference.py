"""The description of the API as a page: made here from the OpenAPI document, without a script or another's file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from dnnsweep.service.answers import HEADERS
from dnnsweep.service.credentials import require_document_reader

_STYLE: Final = """
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222; }
h2, h3 { margin-top: 2.5rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { overflow-x: auto; padding: 0.75rem; background: #f4f4f4; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
nav ul { list-style: none; padding: 0; }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: As for every answer, but this page has a style.
POLICY: Final = f"{HEADERS['Content-Security-Policy']}; style-src 'sha256-{_STYLE_HASH}'"
#: A line of a record's docstring about one of its fields.
_ARGUMENT: Final = re.compile(r"^ +(\w+): (.*)$", re.MULTILINE)
_SCHEMA: Final = "#/components/schemas/"
#: Keys of a schema that say what values must hold, beside their type.
_RULES: Final = (
    *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "pattern", "default"),
)

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_document_reader)])


@router.get("/openapi.json")
async def document(request: Request) -> JSONResponse:
    """Return the description of the API, for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Return the description of the API, for people."""
    return HTMLResponse(render(request.app.openapi()), headers={"Content-Security-Policy": POLICY})


def render(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as a page of HTML."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    routes = [
        (method.upper(), path, route)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    ]
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>",
        _text(document["info"]["description"]),
        "<nav><ul>",
        *(f'<li><a href="#{_anchor(method, path)}">{_route(method, path)}</a></li>' for method, path, _ in routes),
        '<li><a href="#schemas">Schemas</a></li></ul></nav>',
        *(part for method, path, route in routes for part in _describe_route(method, path, route)),
        '<h2 id="schemas">Schemas</h2>',
        *(part for name, schema in document["components"]["schemas"].items() for part in _describe(name, schema)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _anchor(method: str, path: str) -> str:
    return re.sub(r"\W+", "-", f"{method} {path}").strip("-").lower()


def _route(method: str, path: str) -> str:
    return f"<code>{escape(f'{method} {path}')}</code>"


def _text(text: str) -> str:
    """Return a text as a paragraph; what stands between backticks is code."""
    return "<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)) + "</p>"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _describe_route(method: str, path: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_anchor(method, path)}">{_route(method, path)}</h2>'
    yield _text(route.get("description", ""))
    if parameters := route.get("parameters"):
        yield "<h3>Parameters</h3>"
        yield _table(("name", "in", "type", "meaning"), map(_parameter, parameters))
    if body := route.get("requestBody"):
        yield f"<h3>Body</h3>{_text(body['description'])}"
        yield from _contents(body["content"])
    yield "<h3>Answers</h3>"
    for status, answer in route["responses"].items():
        yield f"<p><code>{escape(status)}</code> {escape(answer['description'])}</p>"
        if status.startswith("2"):
            yield from _contents(answer.get("content", {}))


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    required = ", required" if parameter.get("required") else ""
    meaning = escape(parameter.get("description", ""))
    shown = f"{_type(parameter['schema'])}{_rules(parameter['schema'])}"
    return f"<code>{escape(parameter['name'])}</code>", parameter["in"] + required, shown, meaning


def _contents(contents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for kind, content in contents.items():
        schema = f": {_type(content['schema'])}" if content.get("schema") else ""
        yield f"<p><code>{escape(kind)}</code>{schema}</p>"
        if "example" in content:
            example = content["example"]
            shown = example if isinstance(example, str) else json.dumps(example, indent=2)
            yield f"<details><summary>Example</summary><pre>{escape(shown)}</pre></details>"


def _describe(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>'
    about, _, arguments = schema.get("description", "").partition("\n\nArgs:\n")
    meanings = dict(_ARGUMENT.findall(arguments))
    yield _text(about)
    properties = schema.get("properties")
    if properties is None:
        yield f"<p>{_type(schema)}{_rules(schema)}</p>"
        return
    required = schema.get("required", ())
    yield _table(
        ("name", "type", "meaning"),
        (
            (
                f"<code>{escape(key)}</code>" + (", required" if key in required else ""),
                f"{_type(part)}{_rules(part)}",
                escape(part.get("description", meanings.get(key, ""))),
            )
            for key, part in properties.items()
        ),
    )


def _type(schema: Any) -> str:
    """Return what values a schema allows, as HTML in which named schemas are links."""
    if not isinstance(schema, Mapping):
        return "anything" if schema else "nothing"
    if reference := schema.get("$ref"):
        name = escape(reference.removeprefix(_SCHEMA))
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema or "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(v))}</code>" for v in schema.get("enum", [schema.get("const")]))
    for key, word in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if key in schema:
            return word.join(dict.fromkeys(map(_type, schema[key])))
    kinds = schema.get("type", "anything")
    return " or ".join(_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _kind(kind: str, schema: Mapping[str, Any]) -> str:
    if kind == "array":
        return f"list of {_type(schema.get('items', True))}"
    if kind == "object" and "properties" in schema:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
        return f"object with {names}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(kind)


def _rules(schema: Any) -> str:
    """Return what values must hold beside their type."""
    found = [f"{name} {json.dumps(schema[name])}" for name in _RULES if name in schema]
    return f"; {escape(', '.join(found))}" if found else ""
