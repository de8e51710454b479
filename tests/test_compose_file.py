"""What docker-compose.yml promises, as far as it can be read; `make test-compose` runs it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
#: Name, operator and word of each variable, as `${NAME:-word}` has them.
VARIABLES = re.findall(r"(?<!\$)\$\{(\w+)(?:(:[-+?])([^}]*))?\}", TEXT)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return found


def test_no_password_or_token_has_a_default() -> None:
    secret = [
        (name, word) for name, operator, word in VARIABLES if re.search("PASSWORD|TOKEN", name) and operator == ":-"
    ]

    assert {word for _, word in secret} == {""}
    assert {name for name, operator, _ in VARIABLES if operator == ":?"} == {"POSTGRES_PASSWORD", "DNNSWEEP_TOKEN"}


def test_the_image_is_built_from_all_that_the_wheel_is_made_of() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    sources = [*build["wheel"]["packages"], *build["wheel"]["force-include"]]
    dockerfile, let_in = ((ROOT / name).read_text(encoding="utf-8") for name in ("Dockerfile", ".dockerignore"))

    assert [name for name in sources if f"COPY {name} /build/{name}\n" not in dockerfile] == []
    assert [name for name in sources if f"!{name}" not in let_in.splitlines()] == []


def test_every_variable_is_told_in_the_example() -> None:
    assert {name for name, _, _ in VARIABLES} - set(re.findall(r"^(?:# )?(\w+)=", EXAMPLE, re.MULTILINE)) == set()


def test_the_example_holds_no_secret_and_a_copy_is_given_random_ones() -> None:
    passwords = _script("passwords")
    lines = EXAMPLE.splitlines()

    empty = [line for line in lines if re.fullmatch(r"\w+=", line)]
    first, second = ([passwords.filled(line) for line in lines] for _ in range(2))

    assert empty == ["POSTGRES_PASSWORD=", "DNNSWEEP_TOKEN="]
    assert [line for line, other in zip(first, second, strict=True) if line == other] == [
        line for line in lines if line not in empty
    ]
    assert all(re.search(r"=[\w-]{32}$", line) for line in first if line not in lines)


def _script(name: str) -> Any:
    found = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_ports_are_published_on_the_loopback_address_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["db", "mlflow", "api", "worker"])
def test_a_service_tells_its_health_has_limits_and_starts_again(services: dict[str, Any], name: str) -> None:
    service = services[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert {need["condition"] for need in service.get("depends_on", {}).values()} <= {"service_healthy"}


@pytest.mark.parametrize("name", ["mlflow", "api", "worker"])
def test_what_the_image_runs_has_no_rights_to_lose(services: dict[str, Any], name: str) -> None:
    service = services[name]

    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_database_is_as_hardened_as_the_rest(services: dict[str, Any]) -> None:
    database = services["db"]

    assert (database["read_only"], database["cap_drop"], database["user"]) == (True, ["ALL"], "postgres")
    assert database["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in database
    assert database["tmpfs"] == ["/tmp"]  # noqa: S108
    assert "socket:/run/postgresql" in database["volumes"]
    assert yaml.safe_load(TEXT)["volumes"]["socket"]["driver_opts"]["type"] == "tmpfs"


def test_only_those_who_need_the_database_reach_it_and_it_reaches_nobody_outside(services: dict[str, Any]) -> None:
    networks = yaml.safe_load(TEXT)["networks"]

    assert {name: service["networks"] for name, service in services.items()} == {
        "db": ["back"],
        "mlflow": ["front", "back"],
        "api": ["front", "back"],
        "worker": ["front", "back"],
    }
    assert (networks["back"], networks["front"]) == ({"internal": True}, None)


def test_each_image_that_others_made_may_be_named_by_its_digest(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    others = {line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM")}
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.MULTILINE))
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)

    assert default is not None
    assert others - stages == {"${PYTHON_IMAGE}"}
    assert services["mlflow"]["build"]["args"] == {"PYTHON_IMAGE": f"${{PYTHON_IMAGE:-{default[1]}}}"}
    assert services["db"]["image"] == "${POSTGRES_IMAGE:-postgres:17}"


# -- the example of a proxy with TLS --------------------------------------------------------------------------------

NGINX = (ROOT / "compose" / "nginx.conf").read_text(encoding="utf-8")


def _blocks(text: str) -> list[Any]:
    """Return the statements of nginx's language: words, and those of a block behind the words that open it."""
    stack: list[list[Any]] = [[]]
    words: list[Any] = []
    for word in re.findall(r'"[^"]*"|[{};]|[^\s{};]+', re.sub(r"(?m)#.*$", "", text)):
        if word == ";":
            stack[-1].append(words)
            words = []
        elif word == "{":
            inner: list[Any] = []
            stack[-1].append([*words, inner])
            stack.append(inner)
            words = []
        elif word == "}":
            assert words == []
            stack.pop()
        else:
            words.append(word)
    assert (len(stack), words) == (1, [])
    return stack[0]


def test_the_proxy_has_tls_and_buffers_all_but_events() -> None:
    servers = [block[-1] for block in _blocks(NGINX) if block[0] == "server"]
    api = next(server for server in servers if ["server_name", "sweeps.example.org"] in server)
    set_ = {statement[0]: statement[1:] for statement in api if not isinstance(statement[-1], list)}
    locations = {statement[-2]: statement[-1] for statement in api if statement[0] == "location"}
    events = next(pattern for pattern in locations if pattern.startswith("^"))

    assert set_["listen"] == ["443", "ssl"]
    assert set_["ssl_protocols"] == ["TLSv1.2", "TLSv1.3"]
    assert (set_["proxy_request_buffering"], set_["proxy_buffering"]) == (["on"], ["on"])
    assert ["proxy_set_header", "Host", "$http_host"] in api
    assert ["proxy_buffering", "off"] in locations[events]
    assert re.search(events, "/sweeps/digits-2/events")
    assert not re.search(events, "/sweeps/digits-2/trials")
    assert ["proxy_buffering", "off"] not in locations["/"]
    assert all(any(statement[0] in ("return", "ssl_certificate") for statement in server) for server in servers)


PROGRAM = shutil.which("nginx")


@pytest.mark.skipif(PROGRAM is None, reason="there is no nginx here")
def test_nginx_accepts_the_example(tmp_path: Path) -> None:
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.org"]
    files = [str(tmp_path / name) for name in ("key.pem", "certificate.pem")]
    subprocess.run([*certificate, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    text = re.sub(r"/etc/ssl/private/\S+\.key", files[0], NGINX)
    text = re.sub(r"/etc/ssl/certs/\S+\.pem", files[1], text)
    folders = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} {text} }}"
    (tmp_path / "nginx.conf").write_text(whole, encoding="utf-8")

    done = subprocess.run(
        [str(PROGRAM), "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
