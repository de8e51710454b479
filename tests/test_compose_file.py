"""What docker-compose.yml promises, as far as it can be read; `make test-compose` runs it."""

from __future__ import annotations

import importlib.util
import re
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
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped"
    assert {need["condition"] for need in service.get("depends_on", {}).values()} <= {"service_healthy"}


@pytest.mark.parametrize("name", ["mlflow", "api", "worker"])
def test_what_the_image_runs_has_no_rights_to_lose(services: dict[str, Any], name: str) -> None:
    service = services[name]

    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
