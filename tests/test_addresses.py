"""Proxies that the environment names: not for this machine's own addresses, and named when a request fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import postgres
import pytest

from dnnsweep.addresses import find_proxy
from dnnsweep.errors import ServiceError
from dnnsweep.settings import ServiceAddress, find_settings
from dnnsweep.stores.remote import RemoteStore
from dnnsweep.tracking.access import bypass_proxy, explain

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
DEAD = "http://me:s3cret@127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("http://host:8000", {}, None),
        ("http://host:8000", {"http_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("http://host:8000", {"https_proxy": "http://proxy:3128"}, None),
        ("https://host", {"HTTPS_PROXY": "http://me:s3cret@proxy:3128"}, "http://proxy:3128"),
        ("https://host", {"https_proxy": "me:s3cret@proxy:3128"}, "http://proxy:3128"),
        ("http://host:8000", {"all_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("http://host:8000", {"http_proxy": "http://proxy:3128", "no_proxy": "other, host"}, None),
        ("http://127.0.0.1:8000", {"http_proxy": "http://proxy:3128"}, None),
        ("http://localhost:8000", {"http_proxy": "http://proxy:3128"}, None),
        ("http://[::1]:8000", {"http_proxy": "http://proxy:3128"}, None),
        ("http://[", {"http_proxy": "http://proxy:3128"}, None),
    ],
)
def test_the_proxy_before_an_address_is_the_environments_but_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert find_proxy(url) == proxy


class _Answer(BaseHTTPRequestHandler):
    """Answers every request, also one to a proxy, with a status and a text that is no JSON."""

    status = 200
    body = b"[]"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    handler = type("Handler", (_Answer,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", postgres.free_port()), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_service_of_this_machine_is_reached_past_a_proxy_that_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)

    with answering(200, b"[]") as url:
        assert RemoteStore(ServiceAddress(url)).sweeps() == []


@pytest.mark.parametrize(("status", "body", "said"), [(502, b"<html>", "status 502"), (200, b"<html>", "with JSON")])
def test_what_a_proxy_answers_instead_of_a_service_is_said_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    with answering(status, body) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(ServiceError, match=said) as caught:
            RemoteStore(ServiceAddress("http://sweeps.example:8000")).sweeps()

    assert f"the service at http://sweeps.example:8000 (through the proxy {proxy})" in str(caught.value)
    assert "NO_PROXY should name sweeps.example" in str(caught.value)


def test_a_proxy_that_is_away_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)

    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        RemoteStore(ServiceAddress("http://sweeps.example:8000")).sweeps()

    assert "through the proxy http://127.0.0.1:1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "before", "after"),
    [
        ("http://127.0.0.1:5000", {}, {"NO_PROXY": "127.0.0.1"}),
        ("http://localhost:5000", {"no_proxy": "other"}, {"no_proxy": "other,localhost"}),
        ("http://localhost:5000", {"NO_PROXY": "localhost"}, {"NO_PROXY": "localhost"}),
        ("http://mlflow:5000", {}, {}),
        ("", {}, {}),
    ],
)
def test_mlflow_of_this_machine_is_reached_past_a_proxy(
    monkeypatch: pytest.MonkeyPatch, uri: str, before: dict[str, str], after: dict[str, str]
) -> None:
    settings, environ = find_settings("home", {"MLFLOW_TRACKING_URI": uri} if uri else {}), dict(before)
    bypass_proxy(settings, environ)
    assert environ == before  # without a proxy nothing changes

    monkeypatch.setenv("http_proxy", DEAD)
    bypass_proxy(settings, environ)
    assert environ == after


def test_an_mlflow_behind_a_proxy_that_is_away_is_told_so() -> None:
    settings = find_settings("home", {"MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    error = RuntimeError("Max retries exceeded (Caused by ProxyError('Unable to connect to proxy', OSError()))")

    assert "name the server's host in NO_PROXY" in explain(settings, error)
