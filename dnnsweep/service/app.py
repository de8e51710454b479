"""The application: routes, who may call them, and what it says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dnnsweep.service import problems, routes
from dnnsweep.service.state import ServiceState
from dnnsweep.service.tokens import LocalOnly, Token
from dnnsweep.service.tokens import tokens as tokens_of_environment
from dnnsweep.settings import Limits, Settings, find_settings
from dnnsweep.settings import read_limits as limits_of_environment
from dnnsweep.spec import json_schema
from dnnsweep.stores.wire import SECONDS

#: Requests that read or write the ledger at the same time; more wait, which is quicker than if all ran at once.
N_THREADS: Final = 8
_ABOUT: Final = """Submit sweeps, browse and query them. Bodies are what the command line prints with `--json`;
errors are problem documents (RFC 9457) in its words. Lists are paged by `limit` and `offset`; `X-Total-Count` says how
many there are, and `Link` where the next ones are."""


class _Service(FastAPI):
    """Describes itself with the sweep file's own schema and the problem documents."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            found = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            schemas = found.setdefault("components", {}).setdefault("schemas", {})
            _list_objectives(schemas)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            whole = _referring(json_schema())
            schemas |= whole.pop("$defs", {})
            schemas["SweepFile"] = {name: part for name, part in whole.items() if name != "$schema"}
            schemas["Problem"] = problems.SCHEMA
            self.openapi_schema = found
        return self.openapi_schema


def _list_objectives(schemas: dict[str, Any]) -> None:
    """Describe what records keep apart of two objectives as the lists that JSON has instead."""
    numbers = {"type": "array", "items": {"type": "number"}}
    lists = {
        ("Trial", "value_2"): {"anyOf": [numbers, {"type": "null"}]},
        ("Sweep", "second"): {"type": "array", "items": {"$ref": "#/components/schemas/Objective"}},
    }
    for (record, field), schema in lists.items():
        properties = schemas[record]["properties"]
        del properties[field]
        properties[SECONDS[field]] = schema


def create_app(
    settings: Settings | None = None, limits: Limits | None = None, tokens: Sequence[Token] | None = None
) -> FastAPI:
    """Return the service as an ASGI application; what is left out is read from the environment.

    Args:
        settings: Where sweeps and models are.
        limits: What sweeps that come over the network may ask for.
        tokens: Who may come; none lets everybody in.
    """
    known = tokens_of_environment() if tokens is None else tokens
    desk = ServiceState(settings or find_settings(), limits or limits_of_environment(), known)
    app = _Service(
        title="dnnsweep", version=version("dnnsweep"), description=_ABOUT, lifespan=_lifespan, redirect_slashes=False
    )
    app.state.desk = desk
    app.add_middleware(LocalOnly, is_open=not known)
    problems.install(app)
    app.include_router(routes.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = N_THREADS
    yield
    app.state.desk.close()


def _referring(schema: Any) -> Any:
    """Return a schema whose references lead to where OpenAPI keeps definitions."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _referring(value)
            for key, value in schema.items()
        }
    return [_referring(item) for item in schema] if isinstance(schema, list) else schema
