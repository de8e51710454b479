"""MLflow's own server, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import postgres


class MlflowServer:
    """MLflow's own server on a loopback port; killed and started again at will."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "server.db"
        self._artifacts = folder / "artifacts"
        self._port = postgres.free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        words = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination", str(self._artifacts)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:  # noqa: S310  our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
