"""A trainer in a process of its own, seen from the controller."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import tempfile
import time
from typing import IO, Any, Final

from dnnsweep import processes
from dnnsweep.executors import DropTrial
from dnnsweep.executors.placement import TrainerLoad
from dnnsweep.records import Suggestion
from dnnsweep.trainers import Job, TrainerUsage
from dnnsweep.trainers.program_cache import make_program_folder

#: A trainer uses one core, and TensorFlow's log lines help nobody.
TRAINER_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Arrow's own pool reserves a gigabyte, of which `datasets.bounds` could not tell what is used.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
#: Time for a process to end after its connection has closed, so that its exit code can be read.
EXIT_SECONDS: Final = 0.5
#: Characters of the last line that a dead process printed, in the error.
MAX_LINE_CHARACTERS: Final = 500


class TrainerHandle:
    """A trainer's process and the connection to it.

    Args:
        job: The sweep to train.
        trainer: `module:class` of the trainer.

    Attributes:
        load: What the trainer has to do.
        n_trained: Number of trials that it has ended or left.
        usage: What it has used up to its last result.
        heard_at: Time of its last message, by `time.monotonic`.
    """

    def __init__(self, job: Job, trainer: str) -> None:
        self.load = TrainerLoad()
        self.n_trained = 0
        self.usage = TrainerUsage(0, 0, 0, math.nan)
        self.heard_at = time.monotonic()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        environment = {**TRAINER_ENVIRONMENT, **_cached_programs()}
        entry = "dnnsweep.executors.trainer_process:main"
        self._process, self.connection = processes.start(entry, self._output, environment)
        self.send((trainer, job))

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def send(self, message: tuple[str, Job] | Suggestion | DropTrial) -> None:
        """Send a message; if the process has died, `receive` will tell."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Wait for a message and return it.

        Raises:
            Exception: The process is gone, or has sent what cannot be read.
        """
        self.heard_at = time.monotonic()
        return self.connection.recv()

    def cause_of_death(self) -> str:
        """Kill what is left of the process; return how it died, with the last line that it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=EXIT_SECONDS)  # its connection closes a moment before it ends
        self.kill()
        code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        line = self._last_line()
        return f"the trainer died {how}" + (f": {line}" if line else "")

    def _last_line(self) -> str:
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - 10_000))
        lines = self._output.read().decode(errors="replace").replace("\0", "").strip().splitlines()
        return lines[-1].strip()[:MAX_LINE_CHARACTERS] if lines else ""

    def kill(self) -> None:
        """Kill the process, without waiting for its end."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and free what belongs to it."""
        self._process.kill()
        self._process.wait()
        self.connection.close()
        self._output.close()


def _cached_programs() -> dict[str, str]:
    """Return the environment that lets TensorFlow keep compiled programs on disk, unless it does so already."""
    flags, folder = os.environ.get("TF_XLA_FLAGS", ""), make_program_folder()
    if "persistent_cache" in flags or folder is None:
        return {}
    return {"TF_XLA_FLAGS": f"{flags} --tf_xla_persistent_cache_directory={folder}".strip()}
