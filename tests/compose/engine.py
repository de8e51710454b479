"""docker compose on a copy of the repository's files, under a project name and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import postgres

ROOT: Final = Path(__file__).resolve().parents[2]
#: Of its own: what runs under the usual names on this engine is left alone.
PROJECT: Final = "dnnsweep-test"
#: What a command is told of this machine; no password that happens to be set.
KEPT: Final = (
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
)
#: Seconds that a build, or a start of all services, may take.
LONG: Final = 1800


#: The command; none of these tests is run where there is none.
DOCKER: Final = shutil.which("docker") or "docker"


def docker(*words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command of docker; return how it ended."""
    return subprocess.run([DOCKER, *words], capture_output=True, text=True, check=False, timeout=seconds)


def missing() -> str | None:
    """Return why compose cannot be used here; None if it can."""
    if not Path(DOCKER).is_file():
        return "there is no docker command"
    for words in (["version"], ["compose", "version"]):
        done = docker(*words)
        if done.returncode != 0:
            return f"`docker {' '.join(words)}` says: {done.stderr.strip()}"
    return None


def checkout(folder: Path) -> Path:
    """Copy what git would check out, and what it does not know yet, but nothing that it ignores."""
    listed = [shutil.which("git") or "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@dataclass
class Compose:
    """The services of one checkout.

    Args:
        folder: The checkout.
        environ: Variables beside those of its `.env`.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ |= {
            "DNNSWEEP_IMAGE": PROJECT,
            "DNNSWEEP_PORT": str(postgres.free_port()),
            "MLFLOW_PORT": str(postgres.free_port()),
        }

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environ['DNNSWEEP_PORT']}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.environ['MLFLOW_PORT']}"

    @property
    def passwords(self) -> dict[str, str]:
        """Return what `.env` sets."""
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of compose; return how it ended."""
        return self._done([DOCKER, "compose", *words])

    def type(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Type lines into a shell; return how it ended."""
        return self._done(["/bin/sh", "-c", "\n".join(lines)])

    def _done(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
        return subprocess.run(
            words,
            cwd=self.folder,
            env={**kept, "PATH": path, "COMPOSE_PROJECT_NAME": PROJECT, **self.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
        )

    def run(self, *words: str) -> str:
        """Run a command of compose that must succeed; return what it printed."""
        done = self.start(*words)
        assert done.returncode == 0, f"docker compose {' '.join(words)}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def up(self, *words: str) -> None:
        """Start all services, three workers, and wait until they are healthy."""
        self.run("up", "--detach", "--wait", "--scale", "worker=3", *words)

    def logs(self) -> str:
        """Return the last lines of every service."""
        return self.start("logs", "--no-color", "--tail", "40").stdout

    def containers(self, service: str) -> list[str]:
        """Return the running containers of a service."""
        return self.run("ps", "--quiet", "--status", "running", service).split()


def ask(url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Return status and body, as JSON where it is, of a request."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **(headers or {})})  # noqa: S310  loopback
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or "null")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def passwords(folder: Path) -> None:
    """Write `.env` as `make .env` does."""
    script = [sys.executable, str(folder / "tools" / "passwords.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    (folder / ".env").write_text(printed, encoding="utf-8")
