"""What holds for every answer: headers for browsers, HEAD, origins; and the description of the API as a page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from serving import READER, WRITER, serving, settings_of, sweep

from dnnsweep.errors import SettingsError
from dnnsweep.service.app import create_app
from dnnsweep.settings import Limits, are_docs_public
from dnnsweep.stores.local import LocalStore

HOST = "sweeps.example.org"
WRITES = {"Authorization": f"Bearer {WRITER.secret}"}
READS = {"Authorization": f"Bearer {READER.secret}"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(settings_of(tmp_path), Limits(), [WRITER, READER])
    with TestClient(app, base_url=f"https://{HOST}", raise_server_exceptions=False) as made:
        yield made


# -- headers --------------------------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "public": ("GET", "/healthz", {}, 200),
    "read": ("GET", "/sweeps", READS, 200),
    "no token": ("GET", "/sweeps", {}, 401),
    "may only read": ("DELETE", "/sweeps/a", READS, 403),
    "another origin": ("DELETE", "/sweeps/a", {**WRITES, "Origin": "https://evil.example"}, 403),
    "not found": ("GET", "/sweeps/a", READS, 404),
    "no route": ("GET", "/nothing", {}, 404),
    "no method": ("PUT", "/sweeps", {}, 405),
    "no sweep file": ("POST", "/sweeps", {**WRITES, "Content-Type": "text/html"}, 415),
    "mistake": ("GET", "/sweeps?limit=0", READS, 422),
    "failure": ("GET", "/sweeps/broken/best", READS, 500),
    "description": ("GET", "/docs", READS, 200),
    "document": ("GET", "/openapi.json", READS, 200),
    "metrics": ("GET", "/metrics", READS, 200),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_tells_browsers_to_run_embed_store_and_pass_on_nothing(
    client: TestClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "best", lambda *_: 1 / 0)
    method, path, headers, status = ANSWERS[name]

    answer = client.request(method, path, headers=headers)

    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    expected = {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
    assert {header: answer.headers[header] for header in expected} == expected


# -- HEAD -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/sweeps", "/sweeps/a", "/metrics", "/docs", "/nothing"])
def test_head_answers_as_get_without_the_body(client: TestClient, path: str) -> None:
    got, head = client.get(path, headers=READS), client.head(path, headers=READS)

    assert (head.status_code, head.content) == (got.status_code, b"")
    assert dict(head.headers) == dict(got.headers)


def test_head_of_what_only_takes_post_is_no_method(client: TestClient) -> None:
    assert client.head("/sweeps/a/stop", headers=WRITES).status_code == 405


def test_head_of_a_stream_ends_at_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with LocalStore.opened(settings, create=True) as home:
        home.submit(sweep())
        with serving(settings) as url:
            head = httpx.head(f"{url}/sweeps/pretend/events", timeout=60)
            again = httpx.get(f"{url}/healthz")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert again.status_code == 200


# -- origins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": f"https://{HOST}"}, 201),
        ({"Origin": f"https://{HOST}:443", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": f"http://{HOST}"}, 201),  # the proxy before it may have taken TLS off
        ({"Origin": f"https://{HOST}:8443"}, 403),
        ({"Origin": f"https://evil.{HOST}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "nonsense"}, 403),
    ],
)
def test_with_tokens_too_a_page_of_another_origin_changes_nothing(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    answers = [
        client.post("/sweeps", headers={**WRITES, **headers}, json=sweep()),
        client.post("/sweeps/pretend/stop", headers={**WRITES, **headers}),
        client.post("/sweeps/pretend/resume", headers={**WRITES, **headers}),
        client.delete("/sweeps/pretend", headers={**WRITES, **headers}),
    ]

    assert [answer.status_code for answer in answers] == ([201, 200, 200, 200] if status == 201 else [403] * 4)


def test_a_page_of_another_origin_may_follow_a_link_here(client: TestClient) -> None:
    crossing = {**READS, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}

    assert client.get("/docs", headers=crossing).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", ""])
def test_what_a_page_may_send_without_asking_is_no_sweep_file(client: TestClient, kind: str) -> None:
    answer = client.post("/sweeps", headers={**WRITES, "Content-Type": kind}, content=b"name: a")

    assert answer.status_code == 415


# -- the description of the API -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page loads, runs and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_description_is_one_page_that_loads_and_runs_nothing(client: TestClient) -> None:
    answer = client.get("/docs", headers=READS)
    page = Page(answer.text)

    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base", "svg"})
    assert {name for name, _ in page.attributes} == {"lang", "charset", "href", "id"}
    targets = {value for name, value in page.attributes if name == "href"}
    assert targets == {f"#{value}" for name, value in page.attributes if name == "id"} & targets
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert answer.headers["content-security-policy"].endswith(f"; style-src 'sha256-{digest}'")


def test_the_description_names_every_route_parameter_schema_and_field(client: TestClient) -> None:
    document: dict[str, Any] = client.get("/openapi.json", headers=READS).json()
    page = client.get("/docs", headers=READS).text

    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert f"<code>{method.upper()} {path}</code></h2>" in page
            for parameter in route.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in page
    for name, schema in document["components"]["schemas"].items():
        assert f'id="schema-{name}"' in page
        for field in schema.get("properties", ()):
            assert f"<code>{field}</code>" in page
    assert "Name of the token that created the sweep" in page


def basic(secret: str, name: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (READS, 200),
        (WRITES, 200),
        ({"Authorization": "Bearer another"}, 401),
        (basic(READER.secret), 200),
        (basic(READER.secret, ""), 200),
        (basic("another"), 401),
        (basic(""), 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic %%%"}, 401),
        ({"Authorization": "Basic /////w=="}, 401),
    ],
)
def test_the_description_is_behind_a_token_which_a_browser_sends_as_a_password(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get(path, headers=headers)

    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith('Basic realm="dnnsweep')


def test_a_password_opens_nothing_but_the_description(client: TestClient) -> None:
    answer = client.get("/sweeps", headers=basic(READER.secret))

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_the_operator_may_open_the_description_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNSWEEP_PUBLIC_DOCS", "true")
    with TestClient(create_app(settings_of(tmp_path), Limits(), [WRITER]), base_url=f"https://{HOST}") as client:
        statuses = [client.get(path).status_code for path in ("/docs", "/openapi.json", "/sweeps", "/redoc")]

    assert statuses == [200, 200, 401, 404]


@pytest.mark.parametrize("text", ["yes", "1", "True", " true"])
def test_the_description_is_opened_by_no_other_word(text: str) -> None:
    assert not are_docs_public({})
    assert not are_docs_public({"DNNSWEEP_PUBLIC_DOCS": "false"})
    with pytest.raises(SettingsError, match="must be true or false"):
        are_docs_public({"DNNSWEEP_PUBLIC_DOCS": text})
