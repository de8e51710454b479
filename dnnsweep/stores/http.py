"""Requests to a service: JSON over HTTP, and problem documents raised as the errors that they describe."""

from __future__ import annotations

import json
import re
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from dnnsweep import errors
from dnnsweep.addresses import find_proxy
from dnnsweep.errors import DnnsweepError, ExportError, Mistake, ServiceError, SpecError
from dnnsweep.settings import ServiceAddress

TIMEOUT_SECONDS: Final = 60.0
#: The types of problems begin with this; the error's name follows, in words joined by dashes.
PROBLEM: Final = "urn:dnnsweep:problem:"


def problem_name(kind: type[BaseException]) -> str:
    """Return the type of the problem that describes an error.

    Example:
        >>> problem_name(errors.SweepNotFoundError)
        'urn:dnnsweep:problem:sweep-not-found'
    """
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()
    return PROBLEM + words


class _NoRedirects(HTTPRedirectHandler):
    """Refuses redirects, which would carry the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Http:
    """Requests to a service.

    Args:
        remote: Address of the service, and the token for it.
    """

    def __init__(self, remote: ServiceAddress) -> None:
        self._remote = remote
        self._proxy = find_proxy(remote.url)
        # Without a proxy the opener would ask the environment, which may name one for this machine's own addresses.
        self._opener = build_opener(_NoRedirects, *([] if self._proxy else [ProxyHandler({})]))

    def get(self, path: str) -> Any:
        """Return the JSON of a path."""
        return self._json("GET", path)

    def get_text(self, path: str) -> str:
        """Return the text of a path."""
        with self._answer("GET", path, None) as answer:
            return str(answer.read().decode("utf-8", "replace"))

    def get_part(self, path: str) -> tuple[Any, int]:
        """Return the JSON of a path that is a part of a list, and how long the whole list is."""
        with self._answer("GET", path, None) as answer:
            return self._decode(answer.read()), int(answer.headers.get("X-Total-Count") or 0)

    def post(self, path: str, document: Any = None) -> Any:
        """Send JSON to a path and return the JSON of the answer."""
        return self._json("POST", path, document)

    def delete(self, path: str) -> Any:
        """Delete what is at a path and return the JSON of the answer."""
        return self._json("DELETE", path)

    def download(self, path: str, file: Path) -> None:
        """Write the answer of a path to a file."""
        with self._answer("GET", path, None) as answer:
            try:
                with file.open("wb") as out:
                    shutil.copyfileobj(answer, out)
            except OSError as error:
                raise ExportError(f"{file} cannot be written: {error.strerror}") from error

    def _json(self, method: str, path: str, document: Any = None) -> Any:
        with self._answer(method, path, document) as answer:
            text = answer.read()
        return self._decode(text)

    def _decode(self, text: bytes) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise ServiceError(f"{self._where} did not answer with JSON; {self._remedy}") from error

    @property
    def _where(self) -> str:
        way = f" (through the proxy {self._proxy})" if self._proxy else ""
        return f"the service at {self._remote.url}{way}"

    @property
    def _remedy(self) -> str:
        """Return what to look at when something answers that is no service, or nothing."""
        bypass = f", and whether NO_PROXY should name {urlsplit(self._remote.url).hostname}" if self._proxy else ""
        return f"check DNNSWEEP_API_URL{bypass}"

    @contextmanager
    def _answer(self, method: str, path: str, document: Any) -> Iterator[HTTPResponse]:
        headers = {"Accept": "application/json"}
        if self._remote.token is not None:
            headers["Authorization"] = f"Bearer {self._remote.token}"
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        try:
            request = Request(self._remote.url + path, body, headers, method=method)  # noqa: S310  http or https: see Remote
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                yield answer
        except HTTPError as error:
            with error:
                raise self._problem(error.code, error.read()) from error
        except (URLError, OSError, HTTPException, ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceError(f"{self._where} cannot be reached: {reason}; {self._remedy}") from error

    def _problem(self, status: int, body: bytes) -> DnnsweepError:
        """Return the error that a problem document describes."""
        try:
            problem = json.loads(body)
            name, detail = str(problem["type"]), str(problem["detail"])
        except (ValueError, TypeError, KeyError):
            return ServiceError(f"{self._where} answered with status {status}; {self._remedy}")
        kind = _KINDS.get(name, ServiceError)
        if issubclass(kind, SpecError):
            return kind(_mistakes(problem.get("mistakes")) or [Mistake("sweep file", detail)])
        return kind(detail)


def _mistakes(items: Any) -> list[Mistake]:
    if not isinstance(items, list):
        return []
    names = ("path", "rule", "got", "remedy")
    return [Mistake(*(str(item.get(name, "")) for name in names)) for item in items if isinstance(item, Mapping)]


_KINDS: Final = {
    problem_name(kind): kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DnnsweepError)
}
