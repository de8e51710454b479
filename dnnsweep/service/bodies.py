"""Sweep files in request bodies, as JSON or YAML; never read beyond the size limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.service.problems import RefusalError
from dnnsweep.space import key_text, yaml_text
from dnnsweep.spec import SweepSpec, check, read
from dnnsweep.spec.documents import MAX_BYTES, MAX_DIGITS

JSON: Final = ("application/json",)
YAML: Final = (
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
)  # a page may make a browser send text/plain
WHERE: Final = "sweep file"
Sent = tuple[str, bytes]
#: Seconds in which a body must have come.
BODY_SECONDS: Final = 30.0


async def body(request: Request) -> bytes:
    """Return a request's body, reading no more than `MAX_BYTES`.

    Raises:
        RefusalError: The body is larger than `MAX_BYTES`, takes too long, or its sender went away.
    """
    too_large = RefusalError(413, f"a body must have at most {MAX_BYTES} bytes; a sweep file names its data")
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 15 or int(length) > MAX_BYTES):
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BYTES:
                    raise too_large
                parts.append(part)
    except TimeoutError as error:
        rule = f"the body must be sent within {BODY_SECONDS:g} seconds"
        raise RefusalError(408, f"{rule}, got {size} bytes of it", {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise RefusalError(400, "the body must be sent to its end") from error
    return b"".join(parts)


async def sent(request: Request) -> Sent:
    """Return the media type and the bytes of a request's body.

    Raises:
        RefusalError: The media type is neither JSON nor YAML, or the body cannot be read.
    """
    return media_type(request), await body(request)


def media_type(request: Request) -> str:
    """Return the media type of a request's body.

    Raises:
        RefusalError: The media type is neither JSON nor YAML.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*JSON, *YAML):
        got = yaml_text(kind) if kind else "none"
        raise RefusalError(415, f"Content-Type must be {JSON[0]} or {YAML[0]}, got {got}")
    return kind


def sweep_file(data: bytes, kind: str) -> SweepSpec:
    """Return the sweep file in a body.

    Args:
        data: Bytes of the body.
        kind: Media type, as `media_type` returns it.

    Raises:
        SpecError: The file is wrong; the error holds every mistake.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"{error.reason} at byte {error.start}"
        raise SpecError([Mistake(WHERE, "must be UTF-8 text", got, "save it as UTF-8")]) from error
    return read(text, WHERE) if kind in YAML else check(_json(text))


def _json(text: str) -> Any:
    repeated: list[Mistake] = []

    def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                repeated.append(Mistake(key_text(key), "must be given once", "it again", "keep one of them"))
            seen[key] = value
        return seen

    try:
        document = json.loads(text, object_pairs_hook=refuse_repeated, parse_int=_parse_whole)
    except RecursionError as error:
        raise SpecError([Mistake(WHERE, "must not be nested so deeply")]) from error
    except ValueError as error:
        raise SpecError([Mistake(WHERE, f"must be JSON: {str(error)[:200]}")]) from error
    if repeated:
        raise SpecError(repeated)
    return document


def _parse_whole(digits: str) -> int | float:
    """Return a whole number; one of absurd length becomes infinite, which every field refuses."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)
