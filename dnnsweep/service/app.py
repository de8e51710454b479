"""The application: its routes, who may call them, and its OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from dnnsweep.service import problems, reference, routes
from dnnsweep.service.answers import BrowserHeaders, RequestLog
from dnnsweep.service.head_requests import HeadAsGet
from dnnsweep.service.origins import OriginGuard
from dnnsweep.service.quotas import N_THREADS
from dnnsweep.service.state import ServiceState
from dnnsweep.service.token_list import TokenList
from dnnsweep.service.tokens import Token
from dnnsweep.settings import Limits, Settings, are_docs_public, find_settings
from dnnsweep.settings import read_limits as limits_of_environment
from dnnsweep.spec import json_schema

#: Threads that read the files of models which are being sent.
N_FILE_THREADS: Final = 4
_ABOUT: Final = """Submit sweeps, browse and query them. Bodies are what the command line prints with `--json`;
errors are problem documents (RFC 9457) with the same messages. Lists are paged by `limit` and `offset`;
`X-Total-Count` holds the length of the whole list, and `Link` the address of the next page."""


class _Service(FastAPI):
    """An application whose OpenAPI document includes the sweep file's schema and the problem documents."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return what answers requests; what holds for every answer holds for those to unforeseen errors too."""
        return RequestLog(BrowserHeaders(HeadAsGet(super().build_middleware_stack())))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            sweep_file = _with_openapi_references(json_schema())
            schemas |= sweep_file.pop("$defs", {})
            schemas["SweepFile"] = {name: part for name, part in sweep_file.items() if name != "$schema"}
            schemas["Problem"] = problems.SCHEMA
            self.openapi_schema = document
        return self.openapi_schema


def create_app(
    settings: Settings | None = None,
    limits: Limits | None = None,
    tokens: Sequence[Token] | TokenList | None = None,
) -> FastAPI:
    """Return the service as an ASGI application.

    Args:
        settings: Locations of sweeps and models; None reads the environment.
        limits: The most that submitted sweeps may ask for; None reads the environment.
        tokens: Accepted tokens; an empty list accepts everybody, None reads the environment.
    """
    accepted = TokenList.of() if tokens is None else tokens if isinstance(tokens, TokenList) else TokenList(tokens)
    found = (settings or find_settings(), limits or limits_of_environment(), accepted)
    app = _Service(
        title="dnnsweep",
        version=version("dnnsweep"),
        description=_ABOUT,
        lifespan=_lifespan,
        redirect_slashes=False,
        openapi_url=None,  # `reference` serves it
    )
    app.state.service = ServiceState(*found, are_docs_public=are_docs_public())
    app.add_middleware(OriginGuard, is_open=accepted.is_open)
    problems.install(app)
    app.include_router(routes.router)
    app.include_router(reference.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = N_THREADS + N_FILE_THREADS
    with app.state.service.looking():
        yield
    app.state.service.close()


def _with_openapi_references(schema: Any) -> Any:
    """Return a schema whose references point to where OpenAPI keeps definitions."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _with_openapi_references(value)
            for key, value in schema.items()
        }
    return [_with_openapi_references(item) for item in schema] if isinstance(schema, list) else schema
